/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-snapshot.h"

#include "common/snapshot-name.h"
#include "service/data-job.h"
#include "service/incomplete.h"
#include "service/snapshot-file.h"
#include "service/volume-graph.h"
#include "service/volume-in-place.h"
#include "service/volume-secret.h"

#define NAMES_SIZE 512U

/* What the data worker is told of it. */
typedef struct Wish {
        const char *action;
        bool mend;
        char *secret; /* the file of an encrypted image's; NULL: none is needed */
        char name[];
} Wish;

static void wish_free(void *p)
{
        Wish *a = p;

        free(a->secret);
        free(a);
}

static bool is_thick_snapshot(const Volume *v)
{
        /* Thin volumes have no place of their own on the devices. */
        return v->row.extra && v->row.extra->backing_path && v->row.extra->n_extents > 0;
}

static bool is_other_file(const Volume *v)
{
        return v->row.type == VOLUME_FILE && !streq(v->row.format, "qcow2");
}

SnapshotKind volume_snapshot_kind(const Volume *v)
{
        const VolumeExtra *extra = v->row.extra;

        if (v->pool->def->type == POOL_LOGICAL)
                return is_thick_snapshot(v) ? SNAPSHOTS_NONE : SNAPSHOTS_LOGICAL;
        if (is_other_file(v))
                return v->pool->details.shares_blocks ? SNAPSHOTS_FILES : SNAPSHOTS_NONE;
        return v->row.type == VOLUME_FILE && !(extra && extra->data_file) ? SNAPSHOTS_INTERNAL : SNAPSHOTS_NONE;
}

const char *snapshot_kind_to_string(SnapshotKind kind)
{
        static const char *const names[] = {
                [SNAPSHOTS_NONE] = "",
                [SNAPSHOTS_INTERNAL] = "internal",
                [SNAPSHOTS_FILES] = "reflink",
                [SNAPSHOTS_LOGICAL] = "logical",
        };

        return names[kind];
}

void volume_snapshots_depend_on_pool(Pool *pool)
{
        Volume *v;

        RB_FOREACH (v, VolumeTree, &pool->volumes) {
                if (is_other_file(v))
                        volume_mark_changed(v, VOLUME_SNAPSHOT_KIND);
        }
}

static int each_internal(const Volume *v, int (*found)(const SnapshotInfo *info, void *userdata), void *userdata)
{
        const VolumeExtra *extra = v->row.extra;
        int r = 0;

        for (size_t i = 0; r >= 0 && extra && i < extra->n_snapshots; i++) {
                const VolumeSnapshot *s = &extra->snapshots[i];

                r = found(&(SnapshotInfo){.name = s->name, .id = s->id, .time = (uint64_t) s->time, .size = s->size},
                          userdata);
        }
        return r;
}

static int each_file(const Volume *v, int (*found)(const SnapshotInfo *info, void *userdata), void *userdata)
{
        const char *name = NULL;
        SnapshotFile *f = NULL;
        int r = 0;

        while (r >= 0 && (f = snapshot_file_next(v, f, &name)))
                r = found(&(SnapshotInfo){.name = name, .time = f->time, .size = f->size}, userdata);
        return r;
}

static int each_logical(const Volume *v, int (*found)(const SnapshotInfo *info, void *userdata), void *userdata)
{
        _cleanup_free_ char *path = volume_path(v);
        Overlay *o = NULL;
        int r = path ? 0 : -ENOMEM;

        while (r >= 0 && (o = volume_next_dependent(v, path, o))) {
                const VolumeRow *row = &o->volume->row;

                if (o->volume->pool == v->pool && o->volume != v)
                        r = found(&(SnapshotInfo){.name = row->name,
                                                  .time = row->btime > 0 ? (uint64_t) row->btime / NSEC_PER_USEC : 0,
                                                  .size = row->allocation,
                                                  .volume = o->volume},
                                  userdata);
        }
        return r;
}

int volume_snapshots_each(const Volume *v, int (*found)(const SnapshotInfo *info, void *userdata), void *userdata)
{
        int r = 0;

        switch (volume_snapshot_kind(v)) {
        case SNAPSHOTS_INTERNAL:
                r = each_internal(v, found, userdata);
                break;
        case SNAPSHOTS_FILES:
                r = each_file(v, found, userdata);
                break;
        case SNAPSHOTS_LOGICAL:
                r = each_logical(v, found, userdata);
                break;
        default:
                break;
        }
        return r < 0 ? r : 0;
}

typedef struct SnapshotTime {
        const char *name;
        uint64_t time;
} SnapshotTime;

static int take_time(const SnapshotInfo *info, void *userdata)
{
        SnapshotTime *t = userdata;

        if (streq(info->name, t->name))
                t->time = info->time;
        return 0;
}

/* The last moment, µs UTC, at which it may have been made. */
static uint64_t time_of(const Volume *v, const char *name)
{
        SnapshotTime t = {.name = name, .time = UINT64_MAX};

        if (volume_snapshots_each(v, take_time, &t) < 0 || t.time == UINT64_MAX)
                return UINT64_MAX;
        /* LVM counts seconds. */
        return volume_snapshot_kind(v) == SNAPSHOTS_LOGICAL ? t.time + USEC_PER_SEC - 1 : t.time;
}

/* Of a volume of any format: it may have had another one when they were made. */
int volume_require_no_snapshot_files(const Volume *v, sd_bus_error *error)
{
        char names[NAMES_SIZE] = "";
        const char *name = NULL;
        SnapshotFile *f = NULL;
        size_t n = 0;

        while (n < sizeof names - 1 && (f = snapshot_file_next(v, f, &name)))
                n += (size_t) snprintf(names + n, sizeof names - n, "%s'%s'", n ? ", " : "", name);
        if (n == 0)
                return 0;
        return error_setf(error, STORAGE_ERROR_HAS_DEPENDENTS,
                          "Volume '%s' of pool '%s' cannot be deleted: it has the snapshots %s; delete them first",
                          v->row.name, v->pool->def->name, names);
}

static Wish *wish_new(const Volume *v, const char *action, const char *name)
{
        Wish *a = malloc(sizeof *a + strlen(name) + 1);

        if (!a)
                return NULL;
        a->action = action;
        a->mend = incomplete_is_marked(v);
        a->secret = NULL;
        strcpy(a->name, name);
        return a;
}

static int fill_internal(Job *job, sd_bus_message *m, void *argument)
{
        Wish *a = argument;
        int r;

        r = sd_bus_message_append(m, "ss", a->action, a->name);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "mend", "b", (int) a->mend);
        if (r >= 0 && a->secret)
                r = sd_bus_message_append(m, "{sv}", "secret", "s", a->secret);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/*
 * In the image, through a descriptor that has its locks: never by force, as a guest that has the image open does not
 * expect it to change. The contents of the volume change only when it goes back.
 */
static int change_image(Volume *v, const char *operation, const char *action, const char *name, const char *secret,
                        uid_t uid, Job **ret, sd_bus_error *error)
{
        bool revert = streq(action, "revert");
        Wish *a = wish_new(v, action, name);
        int r;

        if (!a)
                return -ENOMEM;
        r = volume_secret_path(v, secret, &a->secret, error);
        if (r < 0) {
                wish_free(a);
                return r;
        }
        return volume_in_place(v,
                               &(InPlace){.operation = operation,
                                          .said = "changed",
                                          .verb = "Snapshot",
                                          .write = true,
                                          .alone = true,
                                          .end = revert ? UINT64_MAX : 0,
                                          .mends = revert ? MENDS_CONTENTS : MENDS_ROOM,
                                          .as_of = revert ? time_of(v, name) : 0,
                                          .fill = fill_internal,
                                          .argument = a,
                                          .free_argument = wish_free},
                               NULL, uid, ret, error);
}

static int fill_file(Job *job, sd_bus_message *m, void *argument)
{
        Wish *a = argument;

        return sd_bus_message_append(m, "ss", a->action, a->name);
}

/* The watch would see it too, but perhaps after the reply. */
static int file_answered(Job *job, sd_bus_message *reply, void *argument)
{
        _cleanup_free_ char *file = NULL;
        VolumeRow row = {};
        Wish *a = argument;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', VOLUME_ROW_SIGNATURE);
        if (r >= 0)
                r = volume_row_read(reply, &row);
        if (r > 0)
                r = volume_update(job->pool, &row, NULL);
        volume_row_done(&row);
        if (r < 0 || !streq(a->action, "delete"))
                return r;
        file = snapshot_file_name(job->volume_name, a->name);
        if (!file)
                return -ENOMEM;
        snapshot_file_remove(job->pool, file);
        return 0;
}

static int change_file(Volume *v, const char *operation, const char *action, const char *name, bool force, uid_t uid,
                       Job **ret, sd_bus_error *error)
{
        bool revert = streq(action, "revert");
        Wish *a = wish_new(v, action, name);

        if (!a)
                return -ENOMEM;
        return volume_in_place(v,
                               &(InPlace){.operation = operation,
                                          .said = "changed",
                                          .verb = "FileSnapshot",
                                          .write = revert,
                                          .replace = revert,
                                          .end = UINT64_MAX,
                                          .mends = revert ? MENDS_BYTES : MENDS_NOTHING,
                                          .as_of = revert ? time_of(v, name) : 0,
                                          .force = force,
                                          .fill = fill_file,
                                          .answered = file_answered,
                                          .argument = a,
                                          .free_argument = wish_free},
                               NULL, uid, ret, error);
}

static int require(const Volume *v, const SnapshotOptions *options, sd_bus_error *error)
{
        SnapshotKind kind = volume_snapshot_kind(v);

        if (kind != SNAPSHOTS_NONE && kind != SNAPSHOTS_INTERNAL && options->secret)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "The snapshots of volume '%s' of pool '%s' are made without opening it, and need no "
                                  "secret",
                                  v->row.name, v->pool->def->name);
        if (kind != SNAPSHOTS_NONE)
                return 0;
        return error_setf(error, STORAGE_ERROR_UNSUPPORTED, "Volume '%s' of pool '%s' cannot have snapshots",
                          v->row.name, v->pool->def->name);
}

/* The volume that is the snapshot. */
static int find_logical(const Volume *v, const char *name, Volume **ret, sd_bus_error *error)
{
        Volume *s = volume_find(v->pool, name);

        if (!s || volume_backing(s) != v)
                return error_setf(error, STORAGE_ERROR_NOT_FOUND, "Volume '%s' of pool '%s' has no snapshot '%.300s'",
                                  v->row.name, v->pool->def->name, name);
        *ret = s;
        return 0;
}

static int create_logical(Volume *v, const char *name, uid_t uid, Job **ret, sd_bus_error *error)
{
        _cleanup_(volume_def_freep) VolumeDef *def = volume_def_new();
        int r;

        if (!def)
                return -ENOMEM;
        def->name = strdup(name);
        def->backing_path = volume_path(v);
        if (!def->name || !def->backing_path)
                return -ENOMEM;
        r = volume_def_validate(def, POOL_LOGICAL, error);
        return r < 0 ? r : volume_create_snapshot_volume(v->pool, TAKE_PTR(def), uid, ret, error);
}

static int fill_copy_back(Job *job, sd_bus_message *m, void *argument)
{
        return sd_bus_message_append(m, "h", data_job_fd(job, 1));
}

/*
 * What differs is copied back, for thin and thick ones alike: lvconvert --merge would use up the snapshot, cut the others
 * of the volume off from it, and change the group while nobody else can.
 */
static int revert_logical(Volume *v, const char *name, bool force, uid_t uid, Job **ret, sd_bus_error *error)
{
        VolumeChain others = {};
        VolumeLocks locks = {};
        Volume *s;
        int r;

        r = find_logical(v, name, &s, error);
        if (r >= 0)
                r = volume_chain_add(&others, s, "raw", false, error);
        if (r >= 0)
                r = volume_locks_add(&locks, s->pool, s->row.name, true);
        if (r < 0) {
                volume_chain_done(&others);
                volume_locks_done(&locks);
                return r;
        }
        return volume_in_place(v,
                               &(InPlace){.operation = "revert-snapshot",
                                          .said = "changed",
                                          .verb = "CopyBack",
                                          .write = true,
                                          .force = force,
                                          .end = UINT64_MAX,
                                          .mends = MENDS_BYTES,
                                          .as_of = time_of(v, name),
                                          .others = &others,
                                          .fill = fill_copy_back},
                               &locks, uid, ret, error);
}

static int delete_logical(Volume *v, const char *name, bool force, uid_t uid, Job **ret, sd_bus_error *error)
{
        Volume *s;
        int r = find_logical(v, name, &s, error);

        return r < 0 ? r : volume_delete_as(s, "delete-snapshot", force, uid, ret, error);
}

int volume_create_snapshot(Volume *v, const char *name, const SnapshotOptions *options, uid_t uid, Job **ret,
                           sd_bus_error *error)
{
        SnapshotKind kind = volume_snapshot_kind(v);
        int r = require(v, options, error);

        if (r >= 0)
                r = kind == SNAPSHOTS_FILES ? snapshot_name_validate(v->row.name, name, error)
                                            : volume_name_validate(name, error);
        if (r >= 0)
                r = incomplete_require_whole(v, "kept as a snapshot", error);
        if (r < 0)
                return r;
        if (kind == SNAPSHOTS_LOGICAL)
                return create_logical(v, name, uid, ret, error);
        return kind == SNAPSHOTS_FILES
                       ? change_file(v, "create-snapshot", "create", name, options->force, uid, ret, error)
                       : change_image(v, "create-snapshot", "create", name, options->secret, uid, ret, error);
}

int volume_revert_snapshot(Volume *v, const char *name, const SnapshotOptions *options, uid_t uid, Job **ret,
                           sd_bus_error *error)
{
        SnapshotKind kind = volume_snapshot_kind(v);
        int r = require(v, options, error);

        if (r >= 0 && kind == SNAPSHOTS_LOGICAL)
                return revert_logical(v, name, options->force, uid, ret, error);
        if (r >= 0 && kind == SNAPSHOTS_FILES)
                r = snapshot_name_validate(v->row.name, name, error);
        /* They would be overlays of something else. */
        if (r >= 0)
                r = volume_require_no_dependents(v, NULL, "changed", error);
        if (r < 0)
                return r;
        return kind == SNAPSHOTS_FILES ? change_file(v, "revert-snapshot", "revert", name, options->force, uid, ret, error)
                                       : change_image(v, "revert-snapshot", "revert", name, options->secret, uid, ret, error);
}

int volume_delete_snapshot(Volume *v, const char *name, const SnapshotOptions *options, uid_t uid, Job **ret,
                           sd_bus_error *error)
{
        SnapshotKind kind = volume_snapshot_kind(v);
        int r = require(v, options, error);

        if (r >= 0 && kind == SNAPSHOTS_LOGICAL)
                return delete_logical(v, name, options->force, uid, ret, error);
        if (r >= 0 && kind == SNAPSHOTS_FILES)
                r = snapshot_name_validate(v->row.name, name, error);
        if (r < 0)
                return r;
        /* A file that is copied from is needed by nobody else. */
        return kind == SNAPSHOTS_FILES ? change_file(v, "delete-snapshot", "delete", name, true, uid, ret, error)
                                       : change_image(v, "delete-snapshot", "delete", name, options->secret, uid, ret, error);
}
