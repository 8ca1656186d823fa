/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.example.Storage1.Volume.Snapshots: see interfaces/org.example.Storage1.Volume.Snapshots.xml. */

#include "interfaces/volume-snapshots.h"

#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/paths.h"
#include "interfaces/reply.h"
#include "service/volume-snapshot.h"

#define SNAPSHOT_SIGNATURE "(sttoa{sv})"

/* Of a row in a message, besides its strings. */
#define SNAPSHOT_SIZE 256U

int snapshots_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                   sd_bus_error *error)
{
        Volume *v = volume_of_path(((Pool *) userdata)->manager, path);

        if (!v || volume_snapshot_kind(v) == SNAPSHOTS_NONE)
                return 0;
        *ret = v;
        return 1;
}

static int add_size(const SnapshotInfo *info, void *userdata)
{
        *(size_t *) userdata += SNAPSHOT_SIZE + strlen(info->name);
        return 0;
}

size_t snapshots_size(const Volume *v)
{
        size_t size = 0;

        (void) volume_snapshots_each(v, add_size, &size);
        return size;
}

static int append_more(sd_bus_message *m, const SnapshotInfo *info, SnapshotKind kind)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "kind", "s", snapshot_kind_to_string(kind));
        if (r >= 0 && info->id)
                r = sd_bus_message_append(m, "{sv}", "id", "s", info->id);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

typedef struct Reply {
        sd_bus_message *m;
        SnapshotKind kind;
} Reply;

static int append_snapshot(const SnapshotInfo *info, void *userdata)
{
        _cleanup_free_ char *path = NULL;
        Reply *reply = userdata;
        sd_bus_message *m = reply->m;
        int r;

        if (info->volume && !(path = path_of_volume(info->volume->pool, info->volume->row.name)))
                return -ENOMEM;
        r = sd_bus_message_open_container(m, 'r', "sttoa{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "stto", info->name, info->time, info->size, path ?: "/");
        if (r >= 0)
                r = append_more(m, info, reply->kind);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int get_snapshots(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        Reply to = {.m = reply, .kind = volume_snapshot_kind(userdata)};
        int r;

        r = sd_bus_message_open_container(reply, 'a', SNAPSHOT_SIGNATURE);
        if (r >= 0)
                r = volume_snapshots_each(userdata, append_snapshot, &to);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

typedef struct Change {
        int (*call)(Volume *v, const char *name, const SnapshotOptions *options, uid_t uid, Job **ret,
                    sd_bus_error *error);
        /* The right on a snapshot that is a volume; NULL: it is made. */
        const char *action;
} Change;

/* Whoever makes a volume of another's contents can read these then. */
static int check_new_volume(Bus *b, sd_bus_message *m, const Volume *v, const char *name, uid_t *ret_uid,
                            sd_bus_error *error)
{
        const Access access = {
                .action = "create-volume",
                .pool = v->pool->def->name,
                .type = pool_type_to_string(v->pool->def->type),
                .volume = name,
                .capacity = v->row.capacity,
        };
        int r = access_check(b, m, &access, ret_uid, error);

        return r <= 0 ? r : access_check_volume(b, m, "read-volume", v, false, ret_uid, error);
}

/* A logical volume's snapshot is one of the pool's volumes, and may be somebody else's. */
static int check_access(Bus *b, sd_bus_message *m, const Volume *v, const char *name, const Change *change,
                        bool force, uid_t *ret_uid, sd_bus_error *error)
{
        const Volume *snapshot;
        int r = access_check_volume(b, m, "change-volume", v, force, ret_uid, error);

        if (r <= 0 || volume_snapshot_kind(v) != SNAPSHOTS_LOGICAL)
                return r;
        if (!change->action)
                return check_new_volume(b, m, v, name, ret_uid, error);
        snapshot = volume_find(v->pool, name);
        return snapshot ? access_check_volume(b, m, change->action, snapshot, force, ret_uid, error) : r;
}

static int change(sd_bus_message *m, Volume *v, const Change *change, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        uint64_t wait = WAIT_DEFAULT_USEC;
        SnapshotOptions how = {};
        const Option options[] = {
                {"force", 'b', &how.force}, {"secret", 's', &how.secret}, {"wait", 't', &wait}};
        Bus *b = bus_of(v->pool->manager);
        const char *name;
        uid_t uid;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
                r = options_read(m, options, ELEMENTSOF(options), error);
        if (r >= 0)
                r = hold_for_dependents(b, m);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = check_access(b, m, v, name, change, how.force, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = change->call(v, name, &how, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_JOB, wait, error);
}

static int method_create(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return change(m, userdata, &(Change){volume_create_snapshot, NULL}, error);
}

static int method_revert(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return change(m, userdata, &(Change){volume_revert_snapshot, "read-volume"}, error);
}

static int method_delete(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return change(m, userdata, &(Change){volume_delete_snapshot, "delete-volume"}, error);
}

const sd_bus_vtable snapshots_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Snapshots", "a" SNAPSHOT_SIGNATURE, get_snapshots, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_METHOD_WITH_ARGS("CreateSnapshot", SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("o", job), method_create, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RevertSnapshot", SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("o", job), method_revert, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DeleteSnapshot", SD_BUS_ARGS("s", name, "a{sv}", options),
                                SD_BUS_RESULT("o", job), method_delete, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
