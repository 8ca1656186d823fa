/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/errors.h"
#include "tools/call.h"
#include "tools/follow.h"
#include "tools/pool-options.h"
#include "tools/pool-show.h"
#include "tools/report.h"
#include "tools/table.h"

static const Option list_options[] = {
        {"state", "STATE", OPTION_STRING, "state", "only pools in this state"},
        {"type", "TYPE", OPTION_STRING, "type", "only pools of this type"},
        {"names", NULL, OPTION_FLAG, NULL, "print names and nothing else"},
        {0},
};

static const Option build_options[] = {
        {"overwrite", NULL, OPTION_FLAG, "overwrite", "even over what is there"},
        {0},
};

static const Option stop_options[] = {
        {"force", NULL, OPTION_FLAG, "force", "even if that disturbs who uses it"},
        {0},
};

static const Option autostart_options[] = {
        {"disable", NULL, OPTION_FLAG, NULL, "do not start it by itself"},
        {0},
};

static int print_pools(const Context *c, json_object *pools)
{
        static const char *const columns[] = {"NAME",      "TYPE",      "STATE",       "HEALTH",
                                              "AUTOSTART", ">CAPACITY", ">ALLOCATION", ">AVAILABLE"};
        static const char *const sizes[] = {"Capacity", "Allocation", "Available"};
        _cleanup_(table_freep) Table *t = table_new(columns, ELEMENTSOF(columns));
        int r = t ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < json_object_array_length(pools); i++) {
                json_object *o = json_object_array_get_idx(pools, i);
                const char *cells[] = {json_string(o, "Name"), json_string(o, "Type"),
                                       json_string(o, "State"), json_string(o, "Health"),
                                       json_truth(o, "Autostart") ? "yes" : "no"};

                for (size_t k = 0; r >= 0 && k < ELEMENTSOF(cells); k++)
                        r = table_add(t, cells[k]);
                for (size_t k = 0; r >= 0 && k < ELEMENTSOF(sizes); k++)
                        r = table_add_size(t, json_number(o, sizes[k]));
        }
        return r < 0 ? r : table_print(t, stdout, c->legend);
}

static int pool_list(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *pools = NULL;
        int r;

        r = read_pools(c, a, list_options, &pools, &error);
        if (r < 0)
                return report(c, &error, r);
        if (args_has(a, "names")) {
                for (size_t i = 0; i < json_object_array_length(pools); i++)
                        (void) puts(json_string(json_object_array_get_idx(pools, i), "Name"));
                r = fflush(stdout) != 0 ? -EIO : 0;
        } else {
                r = c->json ? json_print(pools, true) : print_pools(c, pools);
        }
        return r < 0 ? report(c, NULL, r) : STATUS_OK;
}

/* DefinePool's options: the table's, and for 'create' those that make it what it is. */
static int append_define_options(Context *c, sd_bus_message *m, const Args *a, const Option *table)
{
        int r;

        if (table == pool_define_options)
                return call_options(c, m, a, table, true);
        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = args_append(a, table, m);
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}", "transient", "b", 1, "start", "b", 1);
        if (r >= 0)
                r = call_append_wait(c, m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int new_define_call(Context *c, const Args *a, const Option *table, sd_bus_error *error,
                           sd_bus_message **ret)
{
        const char *type = args_get(a, "type");
        _cleanup_free_ char *xml = NULL;
        int r;

        if (type) {
                r = call_new(c, STORAGE_PATH, MANAGER_INTERFACE, "DefinePool", error, ret);
                if (r >= 0)
                        r = sd_bus_message_append(*ret, "ss", a->operands[0], type);
                if (r >= 0)
                        r = call_options(c, *ret, a, pool_definition_options, false);
        } else {
                r = read_file(a->operands[0], &xml, error);
                if (r >= 0)
                        r = call_new(c, STORAGE_PATH, MANAGER_INTERFACE, "DefinePoolFromXML", error, ret);
                if (r >= 0)
                        r = sd_bus_message_append(*ret, "s", xml);
        }
        return r < 0 ? r : append_define_options(c, *ret, a, table);
}

static int define(Context *c, const Args *a, const Option *table, const char *done)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        const char *what = a->operands[0];
        int r;

        if (!args_has(a, "type") && args_has_keys(a, pool_definition_options))
                return usage_error(
                        "options that describe a pool need --type too; without it, '%s' is a file "
                        "with XML",
                        what);
        if (!args_has(a, "type") && !streq(what, "-") && access(what, F_OK) < 0 && errno == ENOENT)
                return usage_error(
                        "there is no file '%s' to read XML from; to describe the pool by options, "
                        "begin with --type",
                        what);
        r = new_define_call(c, a, table, &error, &m);
        if (r >= 0)
                r = job_call(c, m, "define pool", &error);
        if (r < 0)
                return report(c, &error, r);
        if (args_has(a, "dry-run"))
                confirm(c, "The definition of %s is good; nothing was changed.",
                        args_has(a, "type") ? what : "the pool");
        else if (args_has(a, "type"))
                confirm(c, "Pool %s %s.", what, done);
        else
                confirm(c, "Pool %s from %s.", done, streq(what, "-") ? "standard input" : what);
        return STATUS_OK;
}

static int pool_define(Context *c, const Args *a)
{
        return define(c, a, pool_define_options, "defined");
}

static int pool_create(Context *c, const Args *a)
{
        return define(c, a, pool_create_options, "created");
}

/* Copies those entries of the definition as it is that no option replaces. */
static int append_kept(Context *c, const char *path, const Args *a, sd_bus_message *m, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_get_property(c->bus, STORAGE_BUS_NAME, path, POOL_INTERFACE, "Definition", error, &reply,
                                "a{sv}");
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                const char *key;
                bool replaced = false;

                r = sd_bus_message_read_basic(reply, 's', &key);
                if (r < 0)
                        return r;
                for (const Option *o = pool_definition_options; o->name; o++)
                        replaced = replaced || (option_is_of_key(o, key) && args_has(a, o->name));
                if (replaced) {
                        r = sd_bus_message_skip(reply, "v");
                } else {
                        r = sd_bus_message_open_container(m, 'e', "sv");
                        if (r >= 0)
                                r = sd_bus_message_append_basic(m, 's', key);
                        if (r >= 0)
                                r = sd_bus_message_copy(m, reply, false);
                        if (r >= 0)
                                r = sd_bus_message_close_container(m);
                }
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        return r;
}

static int new_update_call(Context *c, const char *path, const Args *a, sd_bus_error *error,
                           sd_bus_message **ret)
{
        _cleanup_free_ char *xml = NULL;
        int r;

        if (a->n_operands > 1) {
                r = read_file(a->operands[1], &xml, error);
                if (r >= 0)
                        r = call_new(c, path, POOL_INTERFACE, "UpdateFromXML", error, ret);
                if (r >= 0)
                        r = sd_bus_message_append(*ret, "s", xml);
        } else {
                r = call_new(c, path, POOL_INTERFACE, "Update", error, ret);
                if (r >= 0)
                        r = sd_bus_message_open_container(*ret, 'a', "{sv}");
                if (r >= 0)
                        r = append_kept(c, path, a, *ret, error);
                if (r >= 0)
                        r = args_append(a, pool_definition_options, *ret);
                if (r >= 0)
                        r = sd_bus_message_close_container(*ret);
        }
        return r < 0 ? r : call_options(c, *ret, a, NULL, false);
}

/* Some of an array's options, but not its level: the rest of the array would be forgotten. */
static bool is_half_an_array(const Args *a)
{
        bool given = false;

        for (const Option *o = pool_definition_options; o->name; o++)
                given = given || (option_is_of_key(o, "raid") && args_has(a, o->name));
        return given && !args_has(a, "raid-level");
}

static int pool_update(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL;
        bool options = args_has_keys(a, pool_definition_options);
        int r;

        if (options == (a->n_operands > 1))
                return usage_error("give either a file with XML or options that say what shall change");
        if (is_half_an_array(a))
                return usage_error("an array is described as a whole: give --raid-level and --raid-dev too");
        r = find_pool(c, a->operands[0], &path, &error);
        if (r >= 0)
                r = new_update_call(c, path, a, &error, &m);
        if (r >= 0)
                r = call_send(c, m, &error);
        if (r < 0)
                return report(c, &error, r);
        confirm(c, "Pool %s updated.", a->operands[0]);
        return STATUS_OK;
}

/* What 'start' and its like have in common: a method of the pool without arguments of its own. */
typedef struct PoolVerb {
        const char *member;
        const char *label, *done;
        const Option *options;
        bool job;
        bool takes_autostart; /* whether to start by itself is an argument */
        const char *device;   /* an argument; NULL: it takes none */
} PoolVerb;

static int run_verb(Context *c, const Args *a, const PoolVerb *verb, const char *pool)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL, *label = NULL;
        int r;

        if (asprintf(&label, "%s %s", verb->label, pool) < 0)
                return report(c, NULL, -ENOMEM);
        r = find_pool(c, pool, &path, &error);
        if (r >= 0)
                r = call_new(c, path, verb->device ? POOL_INTERFACE ".Raid" : POOL_INTERFACE, verb->member,
                             &error, &m);
        if (r >= 0 && verb->device)
                r = sd_bus_message_append(m, "s", verb->device);
        if (r >= 0 && verb->takes_autostart)
                r = sd_bus_message_append(m, "b", !args_has(a, "disable"));
        if (r >= 0)
                r = call_options(c, m, a, verb->options, verb->job);
        if (r >= 0)
                r = verb->job ? job_call(c, m, label, &error) : call_send(c, m, &error);
        if (r < 0 && verb->device && sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_METHOD)) {
                sd_bus_error_free(&error);
                (void) sd_bus_error_setf(&error, STORAGE_ERROR_UNSUPPORTED,
                                         "the pool '%s' has no array beneath it", pool);
        }
        if (r < 0)
                return report(c, &error, r);
        confirm(c, "Pool %s %s.", pool, verb->done);
        return STATUS_OK;
}

/* One pool after the other; the first failure decides the exit status, Ctrl-C ends it. */
static int run_verbs(Context *c, const Args *a, const PoolVerb *verb)
{
        int status = STATUS_OK;

        for (size_t i = 0; i < a->n_operands && status != STATUS_INTERRUPTED; i++) {
                int s = run_verb(c, a, verb, a->operands[i]);

                if (status == STATUS_OK || s == STATUS_INTERRUPTED)
                        status = s;
        }
        return status;
}

static int pool_build(Context *c, const Args *a)
{
        return run_verbs(c, a, &(PoolVerb){"Build", "build", "built", build_options, .job = true});
}

static int pool_start(Context *c, const Args *a)
{
        return run_verbs(c, a, &(PoolVerb){"Start", "start", "started", NULL, .job = true});
}

static int pool_stop(Context *c, const Args *a)
{
        return run_verbs(c, a, &(PoolVerb){"Stop", "stop", "stopped", stop_options, .job = true});
}

static int pool_delete(Context *c, const Args *a)
{
        return run_verbs(c, a,
                         &(PoolVerb){"Delete", "delete", "deleted; it is still defined", NULL, .job = true});
}

static int pool_undefine(Context *c, const Args *a)
{
        return run_verbs(c, a, &(PoolVerb){"Undefine", "undefine", "undefined", NULL});
}

static int pool_refresh(Context *c, const Args *a)
{
        return run_verbs(c, a, &(PoolVerb){"Refresh", "refresh", "refreshed", NULL, .job = true});
}

static int pool_autostart(Context *c, const Args *a)
{
        const char *done = args_has(a, "disable") ? "no longer starts by itself" : "starts by itself";

        return run_verbs(c, a,
                         &(PoolVerb){"SetAutostart", "autostart", done, NULL, .takes_autostart = true});
}

static int pool_add_device(Context *c, const Args *a)
{
        return run_verb(c, a,
                        &(PoolVerb){"AddDevice", "add device to", "has the device", NULL, true,
                                    .device = a->operands[1]},
                        a->operands[0]);
}

static int pool_fail_device(Context *c, const Args *a)
{
        return run_verb(c, a,
                        &(PoolVerb){"FailDevice", "fail device of", "does without the device", NULL, true,
                                    .device = a->operands[1]},
                        a->operands[0]);
}

static int pool_remove_device(Context *c, const Args *a)
{
        return run_verb(c, a,
                        &(PoolVerb){"RemoveDevice", "remove device from", "no longer has the device", NULL,
                                    true, .device = a->operands[1]},
                        a->operands[0]);
}

const Command pool_commands[] = {
        {"pool", "list", "", "list pools", 0, 0, COMMAND_JSON, list_options, NULL, pool_list},
        {"pool", "show", "POOL", "show what a pool is and how it is", 1, 1, COMMAND_JSON, pool_show_options,
         NULL, pool_show},
        {"pool", "define", "FILE|NAME", "define a pool from XML, or by options with --type", 1, 1,
         COMMAND_JOB, pool_define_options, pool_definition_options, pool_define},
        {"pool", "create", "FILE|NAME", "define a transient pool and start it", 1, 1, COMMAND_JOB,
         pool_create_options, pool_definition_options, pool_create},
        {"pool", "update", "POOL [FILE]", "change a pool's definition", 1, 2, 0, NULL,
         pool_definition_options, pool_update},
        {"pool", "build", "POOL...", "make the storage of pools", 1, OPERANDS_MAX, COMMAND_JOB,
         build_options, NULL, pool_build},
        {"pool", "start", "POOL...", "make pools usable", 1, OPERANDS_MAX, COMMAND_JOB, NULL, NULL,
         pool_start},
        {"pool", "stop", "POOL...", "end the use of pools, deleting nothing", 1, OPERANDS_MAX, COMMAND_JOB,
         stop_options, NULL, pool_stop},
        {"pool", "delete", "POOL...", "destroy the storage of stopped pools", 1, OPERANDS_MAX, COMMAND_JOB,
         NULL, NULL, pool_delete},
        {"pool", "undefine", "POOL...", "forget stopped pools, deleting nothing", 1, OPERANDS_MAX, 0, NULL,
         NULL, pool_undefine},
        {"pool", "refresh", "POOL...", "read all contents of pools again", 1, OPERANDS_MAX, COMMAND_JOB,
         NULL, NULL, pool_refresh},
        {"pool", "autostart", "POOL...", "let pools start once a boot by themselves", 1, OPERANDS_MAX, 0,
         autostart_options, NULL, pool_autostart},
        {"pool", "find-sources", "TYPE", "look for storage that a pool could be made of", 1, 1, COMMAND_JSON,
         pool_find_options, NULL, pool_find_sources},
        {"pool", "add-device", "POOL DEVICE", "add a device to the array beneath a pool", 2, 2, COMMAND_JOB,
         NULL, NULL, pool_add_device},
        {"pool", "fail-device", "POOL DEVICE", "mark a device of the array as faulty", 2, 2, COMMAND_JOB,
         NULL, NULL, pool_fail_device},
        {"pool", "remove-device", "POOL DEVICE", "remove a faulty or spare device", 2, 2, COMMAND_JOB, NULL,
         NULL, pool_remove_device},
        {0},
};
