/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/volume-clone.h"

#include "tools/follow.h"
#include "tools/report.h"
#include "tools/volume-call.h"
#include "tools/volume-options.h"

const Option volume_clone_options[] = {
        {"to-pool", "POOL", OPTION_STRING, NULL, "make it in that pool, instead of the source's"},
        {"reflink", "WHEN", OPTION_STRING, "reflink", "share blocks: auto (default), always, never"},
        {"linked", NULL, OPTION_FLAG, "linked", "be an overlay of the source, which must not change then"},
        {"compress", NULL, OPTION_FLAG, "compress", "qcow2: compress what is copied"},
        {"capacity", "SIZE", OPTION_SIZE, "capacity", "be larger than the source"},
        {"xml", "FILE", OPTION_STRING, NULL, "take name and all from XML ('-' is standard input)"},
        {0},
};

const Option volume_convert_options[] = {
        {"to-pool", "POOL", OPTION_STRING, NULL, "make it in that pool, instead of the source's"},
        {"compress", NULL, OPTION_FLAG, "compress", "qcow2: compress what is copied"},
        {"capacity", "SIZE", OPTION_SIZE, "capacity", "be larger than the source"},
        {0},
};

/* What may stand beside --xml, and becomes a key. */
static const Option clone_xml_options[] = {
        {"reflink", "WHEN", OPTION_STRING, "reflink", NULL},
        {"linked", NULL, OPTION_FLAG, "linked", NULL},
        {"compress", NULL, OPTION_FLAG, "compress", NULL},
        {"preallocation", "MODE", OPTION_STRING, "preallocation", NULL},
        {0},
};

/* The pool that is given, or else that of the source. */
static int find_target(Context *c, const Args *a, const char *source, char **ret, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        const char *pool = args_get(a, "to-pool");
        int r;

        if (pool)
                return find_pool(c, pool, ret, error);
        r = sd_bus_get_property(c->bus, STORAGE_BUS_NAME, source, VOLUME_INTERFACE, "Pool", error, &reply,
                                "o");
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &pool);
        return r < 0 ? r : free_and_strdup(ret, pool);
}

static int new_call(Context *c, const Args *a, const char *source, const char *name, const Option *options,
                    sd_bus_error *error, sd_bus_message **ret)
{
        _cleanup_free_ char *pool = NULL, *xml = NULL;
        const char *file = name ? NULL : args_get(a, "xml");
        int r;

        r = find_target(c, a, source, &pool, error);
        if (r >= 0 && file)
                r = read_file(file, &xml, error);
        if (r >= 0)
                r = call_new(c, pool, POOL_INTERFACE, file ? "CloneVolumeFromXML" : "CloneVolume", error,
                             ret);
        if (r >= 0)
                r = sd_bus_message_append(*ret, "os", source, file ? xml : name);
        if (r < 0 || file)
                return r < 0 ? r : call_options(c, *ret, a, clone_xml_options, true);
        r = sd_bus_message_open_container(*ret, 'a', "{sv}");
        if (r >= 0)
                r = args_append(a, options, *ret);
        if (r >= 0)
                r = args_append(a, volume_description_options, *ret);
        if (r >= 0)
                r = call_append_wait(c, *ret);
        return r < 0 ? r : sd_bus_message_close_container(*ret);
}

/* name: of the new volume; NULL: it is in the XML. */
static int copy(Context *c, const Args *a, const char *name, const Option *options, const char *verb,
                const char *done)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *source = NULL, *label = NULL;
        size_t used;
        int r;

        if (asprintf(&label, "%s %s", verb, a->operands[volume_operands(a) - 1]) < 0)
                return report(c, NULL, -ENOMEM);
        r = find_volume_operands(c, a, &source, &used, &error);
        if (r >= 0)
                r = new_call(c, a, source, name, options, &error, &m);
        if (r >= 0)
                r = job_call(c, m, label, &error);
        if (r < 0)
                return report(c, &error, r);
        confirm(c, "Volume %s %s to %s.", a->operands[used - 1], done, name ?: "what the XML describes");
        return STATUS_OK;
}

/* With XML there is nothing more to say of the volume. */
static int check_xml(const Args *a)
{
        for (const Option *o = volume_description_options; o->name; o++)
                if (args_has(a, o->name) && !streq(o->name, "preallocation"))
                        return usage_error("with --xml, say in the XML what --%s would say", o->name);
        if (args_has(a, "capacity"))
                return usage_error("with --xml, say in the XML what --capacity would say");
        return check_volume_operands(a, 0, NULL);
}

int volume_clone(Context *c, const Args *a)
{
        bool xml = args_has(a, "xml");
        int r;

        r = xml ? check_xml(a) : check_volume_operands(a, 1, "the name of the new volume");
        if (r != STATUS_OK)
                return r;
        return copy(c, a, xml ? NULL : a->operands[a->n_operands - 1], volume_clone_options, "clone",
                    "cloned");
}

int volume_convert(Context *c, const Args *a)
{
        int r;

        r = check_volume_operands(a, 1, "the name of the new volume");
        if (r != STATUS_OK)
                return r;
        if (!args_has(a, "format"))
                return usage_error("say with --format what to convert it to");
        return copy(c, a, a->operands[a->n_operands - 1], volume_convert_options, "convert", "converted");
}
