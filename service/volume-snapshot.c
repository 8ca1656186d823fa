/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-snapshot.h"

#include "service/incomplete.h"
#include "service/volume-graph.h"
#include "service/volume-in-place.h"

/* What the data worker is told of it. */
typedef struct Internal {
        const char *action;
        bool mend;
        char name[];
} Internal;

SnapshotKind volume_snapshot_kind(const Volume *v)
{
        const VolumeExtra *extra = v->row.extra;

        return v->row.type == VOLUME_FILE && streq(v->row.format, "qcow2") && !(extra && extra->data_file)
                       ? SNAPSHOTS_INTERNAL
                       : SNAPSHOTS_NONE;
}

int volume_snapshots_each(const Volume *v, int (*found)(const SnapshotInfo *info, void *userdata),
                          void *userdata)
{
        const VolumeExtra *extra = v->row.extra;
        int r = 0;

        for (size_t i = 0; r >= 0 && extra && i < extra->n_snapshots; i++) {
                const VolumeSnapshot *s = &extra->snapshots[i];

                r = found(
                        &(SnapshotInfo){
                                .name = s->name, .id = s->id, .time = (uint64_t) s->time, .size = s->size},
                        userdata);
        }
        return r < 0 ? r : 0;
}

static int fill_internal(Job *job, sd_bus_message *m, void *argument)
{
        Internal *a = argument;

        return sd_bus_message_append(m, "ssa{sv}", a->action, a->name, 1, "mend", "b", (int) a->mend);
}

/*
 * In the image, through a descriptor that has its locks: never by force, as a guest that has the image open
 * does not expect it to change. The contents of the volume change only when it goes back.
 */
static int change_image(Volume *v, const char *operation, const char *action, const char *name, uid_t uid,
                        Job **ret, sd_bus_error *error)
{
        Internal *a = malloc(sizeof *a + strlen(name) + 1);
        InPlace what = {
                .operation = operation,
                .said = "changed",
                .verb = "Snapshot",
                .write = true,
                .end = streq(action, "revert") ? UINT64_MAX : 0,
                .fill = fill_internal,
                .argument = a,
                .free_argument = free,
        };

        if (!a)
                return -ENOMEM;
        a->action = action;
        a->mend = incomplete_is_marked(v);
        strcpy(a->name, name);
        return volume_in_place(v, &what, NULL, uid, ret, error);
}

static int require(const Volume *v, sd_bus_error *error)
{
        if (volume_snapshot_kind(v) != SNAPSHOTS_NONE)
                return 0;
        return error_setf(error, STORAGE_ERROR_UNSUPPORTED, "Volume '%s' of pool '%s' cannot have snapshots",
                          v->row.name, v->pool->def->name);
}

int volume_create_snapshot(Volume *v, const char *name, bool force, uid_t uid, Job **ret,
                           sd_bus_error *error)
{
        int r = require(v, error);

        if (r >= 0)
                r = volume_name_validate(name, error);
        return r < 0 ? r : change_image(v, "create-snapshot", "create", name, uid, ret, error);
}

int volume_revert_snapshot(Volume *v, const char *name, bool force, uid_t uid, Job **ret,
                           sd_bus_error *error)
{
        int r = require(v, error);

        /* They would be overlays of something else. */
        if (r >= 0)
                r = volume_require_no_dependents(v, NULL, "changed", error);
        return r < 0 ? r : change_image(v, "revert-snapshot", "revert", name, uid, ret, error);
}

int volume_delete_snapshot(Volume *v, const char *name, bool force, uid_t uid, Job **ret,
                           sd_bus_error *error)
{
        int r = require(v, error);

        return r < 0 ? r : change_image(v, "delete-snapshot", "delete", name, uid, ret, error);
}
