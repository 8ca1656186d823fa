/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/pool-show.h"
#include "tools/report.h"
#include "tools/show.h"
#include "tools/table.h"

const Option pool_find_options[] = {
        {"source-host", "HOST[:PORT]", OPTION_HOSTS, "source-hosts", "only what this server has"},
        {"source-dev", "DEVICE", OPTION_STRINGS, "source-devices", "only this device; may be repeated"},
        {"source-name", "NAME", OPTION_STRING, "source-name", "only what is called so"},
        {"source-format", "FORMAT", OPTION_STRING, "source-format", "only what has this format"},
        {"xml", NULL, OPTION_FLAG, NULL, "print libvirt's XML, with what can be used"},
        {0},
};

static int print_found(const Context *c, json_object *found)
{
        static const char *const columns[] = {"DEVICES", "NAME",   "FORMAT",   ">SIZE",
                                              "MODEL",   "SERIAL", "CONTENTS", "UNSUITABLE"};
        _cleanup_(table_freep) Table *t = table_new(columns, ELEMENTSOF(columns));
        int r = t ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < json_object_array_length(found); i++) {
                json_object *o = json_object_array_get_idx(found, i);
                _cleanup_free_ char *devices = show_value(o, "source-devices", SHOW_TEXT);
                static const char *const before[] = {"source-name", "source-format"}, *const after[] = {
                                                                                              "model",
                                                                                              "serial",
                                                                                              "contents",
                                                                                              "unsuitable"};

                r = devices ? table_add(t, devices) : -ENOMEM;
                for (size_t k = 0; r >= 0 && k < ELEMENTSOF(before); k++)
                        r = table_add(t, json_string(o, before[k]));
                if (r >= 0)
                        r = table_add_size(t, json_number(o, "size"));
                for (size_t k = 0; r >= 0 && k < ELEMENTSOF(after); k++)
                        r = table_add(t, json_string(o, after[k]));
        }
        return r < 0 ? r : table_print(t, stdout, c->legend);
}

static int new_find_call(Context *c, const Args *a, sd_bus_error *error, sd_bus_message **ret)
{
        int r;

        r = call_new(c, STORAGE_PATH, MANAGER_INTERFACE,
                     args_has(a, "xml") ? "FindPoolSourcesXML" : "FindPoolSources", error, ret);
        if (r >= 0)
                r = sd_bus_message_append(*ret, "s", a->operands[0]);
        if (r >= 0)
                r = args_has(a, "xml") ? sd_bus_message_append(*ret, "s", "")
                                       : call_options(c, *ret, a, pool_find_options, false);
        /* Nobody would look at a job for this: it is waited for. */
        return r < 0 ? r : sd_bus_message_append(*ret, "a{sv}", 1, "wait", "t", CALL_CHANGE_TIMEOUT_USEC);
}

int pool_find_sources(Context *c, const Args *a)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *found = NULL;
        const char *xml;
        int r;

        if (args_has(a, "xml") && c->json)
                return usage_error("--xml and --json exclude each other");
        if (args_has(a, "xml") && args_has_keys(a, pool_find_options))
                return usage_error("with --xml all sources are shown: leave the other options out");
        r = new_find_call(c, a, &error, &m);
        if (r >= 0)
                r = sd_bus_call(c->bus, m, CALL_CHANGE_TIMEOUT_USEC, &error, &reply);
        if (r >= 0 && args_has(a, "xml")) {
                r = sd_bus_message_read(reply, "s", &xml);
                if (r >= 0)
                        r = fputs(xml, stdout) < 0 || fflush(stdout) != 0 ? -EIO : 0;
        } else if (r >= 0) {
                r = json_read(reply, &found);
                if (r >= 0)
                        r = c->json ? json_print(found, true) : print_found(c, found);
        }
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}
