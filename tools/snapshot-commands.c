/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* 'volume snapshot …': the states that a volume can go back to. */

#include "common/errors.h"
#include "tools/follow.h"
#include "tools/report.h"
#include "tools/show.h"
#include "tools/table.h"
#include "tools/volume-call.h"

#define SNAPSHOTS_INTERFACE VOLUME_INTERFACE ".Snapshots"

static const Option snapshot_options[] = {
        {"force", NULL, OPTION_FLAG, "force", "even if somebody has the volume open"},
        {"secret", "USAGE|UUID", OPTION_STRING, "secret", "of an encrypted image, if it is not known"},
        {0},
};

static const Option list_options[] = {
        {"names", NULL, OPTION_FLAG, NULL, "print names and nothing else"},
        {0},
};

/* Each as an object, in the order of the service. */
static int read_snapshots(Context *c, const char *path, json_object **ret, sd_bus_error *error)
{
        static const char *const names[] = {"Name", "Created", "Size", "ObjectPath"};
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_get_property(c->bus, STORAGE_BUS_NAME, path, SNAPSHOTS_INTERFACE, "Snapshots", error,
                                &reply, "a(sttoa{sv})");
        return r < 0 ? r : json_read_rows(reply, "sttoa{sv}", names, ELEMENTSOF(names), ret);
}

static int print_snapshots(const Context *c, json_object *list)
{
        static const char *const columns[] = {"NAME", "CREATED", ">SIZE"};
        _cleanup_(table_freep) Table *t = table_new(columns, ELEMENTSOF(columns));
        int r = t ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < json_object_array_length(list); i++) {
                json_object *snapshot = json_object_array_get_idx(list, i);
                _cleanup_free_ char *created = show_value(snapshot, "Created", SHOW_TIME);

                r = created ? table_add(t, json_string(snapshot, "Name")) : -ENOMEM;
                if (r >= 0)
                        r = table_add(t, created);
                if (r >= 0)
                        r = table_add_size(t, json_number(snapshot, "Size"));
        }
        return r < 0 ? r : table_print(t, stdout, c->legend);
}

static int print_names(json_object *list)
{
        for (size_t i = 0; i < json_object_array_length(list); i++)
                (void) puts(json_string(json_object_array_get_idx(list, i), "Name"));
        return fflush(stdout) != 0 ? -EIO : 0;
}

/* "Cannot have any" is what a volume without the interface means. */
static int explain(const Args *a, sd_bus_error *error, int r)
{
        if (!sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_INTERFACE) &&
            !sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_PROPERTY) &&
            !sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_METHOD))
                return r;
        sd_bus_error_free(error);
        return sd_bus_error_setf(
                error, STORAGE_ERROR_UNSUPPORTED,
                "the volume '%s' cannot have snapshots: that depends on its format and pool",
                a->operands[volume_operands(a) - 1]);
}

static int snapshot_list(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *list = NULL;
        _cleanup_free_ char *path = NULL;
        size_t used;
        int r;

        r = check_volume_operands(a, 0, NULL);
        if (r != STATUS_OK)
                return r;
        r = find_volume_operands(c, a, &path, &used, &error);
        if (r >= 0)
                r = read_snapshots(c, path, &list, &error);
        if (r < 0)
                r = explain(a, &error, r);
        if (r >= 0)
                r = c->json                ? json_print(list, true)
                    : args_has(a, "names") ? print_names(list)
                                           : print_snapshots(c, list);
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}

static int change(Context *c, const Args *a, const char *member, const char *verb, const char *done)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL, *label = NULL;
        const char *name;
        size_t used;
        int r;

        r = check_volume_operands(a, 1, "the name of the snapshot");
        if (r != STATUS_OK)
                return r;
        name = a->operands[a->n_operands - 1];
        if (asprintf(&label, "%s %s", verb, name) < 0)
                return report(c, NULL, -ENOMEM);
        r = find_volume_operands(c, a, &path, &used, &error);
        if (r >= 0)
                r = call_new(c, path, SNAPSHOTS_INTERFACE, member, &error, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", name);
        if (r >= 0)
                r = call_options(c, m, a, snapshot_options, true);
        if (r >= 0)
                r = job_call(c, m, label, &error);
        if (r < 0)
                return report(c, &error, explain(a, &error, r));
        confirm(c, "Snapshot %s of volume %s %s.", name, a->operands[used - 1], done);
        return STATUS_OK;
}

static int snapshot_create(Context *c, const Args *a)
{
        return change(c, a, "CreateSnapshot", "snapshot", "created");
}

static int snapshot_revert(Context *c, const Args *a)
{
        return change(c, a, "RevertSnapshot", "restore", "restored");
}

static int snapshot_delete(Context *c, const Args *a)
{
        return change(c, a, "DeleteSnapshot", "delete", "deleted");
}

const Command snapshot_commands[] = {
        {"volume snapshot", "create", "POOL VOLUME|PATH NAME", "keep the contents as they are now", 2, 3,
         COMMAND_JOB, snapshot_options, NULL, snapshot_create},
        {"volume snapshot", "list", "POOL VOLUME|PATH", "list the snapshots of a volume", 1, 2, COMMAND_JSON,
         list_options, NULL, snapshot_list},
        {"volume snapshot", "revert", "POOL VOLUME|PATH NAME",
         "go back to a snapshot; what came later is lost", 2, 3, COMMAND_JOB, snapshot_options, NULL,
         snapshot_revert},
        {"volume snapshot", "delete", "POOL VOLUME|PATH NAME", "forget a snapshot; the contents stay", 2, 3,
         COMMAND_JOB, snapshot_options, NULL, snapshot_delete},
        {0},
};
