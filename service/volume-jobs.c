/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-jobs.h"

#include <fcntl.h>

#include "service/data-job.h"
#include "service/incomplete.h"
#include "service/volume-graph.h"
#include "service/volume-grow.h"
#include "service/volume-secret.h"
#include "service/volume-snapshot.h"
#include "service/volume-work.h"

/* What a job on a volume keeps. */
typedef struct VolumeWork {
        char *xml; /* create: the definition */
        char *preallocation;
        char *secret; /* its file; NULL: none is needed */
        VolumeResize resize;
        uint64_t from; /* resize: the capacity as it was seen */
        bool force, write;
        bool durable; /* delete: what is known of it besides is forgotten with it */
} VolumeWork;

static void work_free(void *p)
{
        VolumeWork *w = p;

        free(w->xml);
        free(w->preallocation);
        free(w->secret);
        free(w);
}

/*
 * The locks of a job that changes the volume of that name, and of what it is built on. v: NULL if it is to
 * be made.
 */
static int lock(VolumeLocks *l, Pool *pool, const char *name, const Volume *v)
{
        int r = volume_locks_add(l, pool, name, false);

        return r >= 0 && v ? volume_locks_add_chain(l, v) : r;
}

int volume_find_backing(Pool *pool, const VolumeDef *def, Volume **ret)
{
        _cleanup_free_ char *path = NULL;

        *ret = NULL;
        if (!def->backing_path)
                return 0;
        if (asprintf(&path, "%s%s%s", def->backing_path[0] == '/' ? "" : strempty(pool->def->target_path),
                     def->backing_path[0] == '/' ? "" : "/", def->backing_path) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        *ret = volume_find_by_path(pool->manager, path) ?: volume_find_by_device(pool->manager, path);
        return 0;
}

/* What def is to be built on, and all behind it, if these are volumes of ours. */
static int lock_backing(VolumeLocks *l, Pool *pool, const VolumeDef *def)
{
        Volume *v;
        int r;

        r = volume_find_backing(pool, def, &v);
        if (r < 0 || !v)
                return r;
        r = volume_locks_add(l, v->pool, v->row.name, true);
        return r < 0 ? r : volume_locks_add_chain(l, v);
}

static int begin(Pool *pool, const char *operation, const char *name, const char *verb, VolumeLocks *locks,
                 uid_t uid, Job **ret, sd_bus_error *error)
{
        VolumeWork *w = calloc(1, sizeof *w);
        int r;

        if (!w) {
                volume_locks_done(locks);
                return -ENOMEM;
        }
        r = volume_job_begin(pool, operation, name, verb, locks, uid, ret, error);
        if (r < 0) {
                free(w);
                return r;
        }
        (*ret)->data = w;
        (*ret)->free_data = work_free;
        return 0;
}

static int begin_on(Volume *v, const char *operation, const char *verb, uid_t uid, Job **ret,
                    sd_bus_error *error)
{
        VolumeLocks locks = {};
        int r = lock(&locks, v->pool, v->row.name, v);

        if (r >= 0)
                return begin(v->pool, operation, v->row.name, verb, &locks, uid, ret, error);
        volume_locks_done(&locks);
        return r;
}

static int submit(Job *job, const char *verb, int (*fill)(Operation *, sd_bus_message *),
                  void (*done)(Operation *, Pool *, sd_bus_message *, const sd_bus_error *))
{
        return volume_job_submit(job, job->pool, verb, fill, done);
}

/* create */

/* The options that CreateVolume and Fill have in common. */
static int append_options(sd_bus_message *m, const VolumeWork *w)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && w->preallocation)
                r = sd_bus_message_append(m, "{sv}", "preallocation", "s", w->preallocation);
        if (r >= 0 && w->secret)
                r = sd_bus_message_append(m, "{sv}", "secret", "s", w->secret);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int fill_create(Operation *op, sd_bus_message *m)
{
        VolumeWork *w = op->job->data;
        int r;

        r = sd_bus_message_append(m, "s", w->xml);
        return r < 0 ? r : append_options(m, w);
}

static void publish_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        if (error)
                job_finish(op->job, error);
        else
                volume_job_finish_made(op->job, pool, reply);
}

static int fill_data(Job *job, sd_bus_message *m)
{
        _cleanup_free_ char *pool_xml = NULL;
        VolumeWork *w = job->data;
        int r;

        r = pool_def_format_xml(job->pool->def, NULL, &pool_xml);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssh", pool_xml, w->xml, data_job_fd(job, 0));
        return r < 0 ? r : append_options(m, w);
}

static void fill_finished(Job *job, const sd_bus_error *error)
{
        data_job_publish(job, error, publish_done);
}

static void reserved(Job *job, int fd, bool zero)
{
        job->next = fill_finished;
        data_job_run(job, &(DataStep){.verb = "Fill", .kind = DATA_MAKES, .fill = fill_data}, &fd, 1);
}

static void create_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        _cleanup_bus_error_free_ sd_bus_error bad = SD_BUS_ERROR_NULL;
        Job *job = op->job;
        const char *token;
        int fd = -EBADF, r;

        if (error) {
                job_finish(job, error);
                return;
        }
        r = sd_bus_message_read(reply, "s", &token);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "h");
        if (r >= 0 && !isempty(token))
                r = sd_bus_message_read(reply, "h", &fd);
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', VOLUME_ROW_SIGNATURE);
        if (r < 0) {
                (void) error_set_errno(&bad, r, "Cannot read what the worker of pool '%s' answered",
                                       pool->def->name);
                job_finish(job, &bad);
        } else if (isempty(token))
                volume_job_finish_made(job, pool, reply);
        else {
                job->next = fill_finished;
                data_job_run(
                        job,
                        &(DataStep){.verb = "Fill", .kind = DATA_MAKES, .fill = fill_data, .token = token},
                        &fd, 1);
        }
}

/* What is written to a new device can be told from a whole volume only if it was reserved before. */
static bool is_reserved_first(const Pool *pool, const VolumeDef *def)
{
        return def->encryption.format != ENCRYPTION_NONE && !pool_type_has_files(pool->def->type);
}

static int check_preallocation(const Pool *pool, const VolumeDef *def, const char *preallocation,
                               sd_bus_error *error)
{
        if (isempty(preallocation) || !is_reserved_first(pool, def))
                return 0;
        return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "Volume '%s' cannot be made in pool '%s': for one that is encrypted on a device, "
                          "preallocation has no meaning; its allocation decides",
                          def->name, pool->def->name);
}

/* An LVM snapshot is a container with its origin's key. */
static int choose_secret(Pool *pool, const VolumeDef *def, char **ret_path, char ret_uuid[static 37],
                         sd_bus_error *error)
{
        Volume *origin = NULL;
        int r;

        r = volume_secret_for_new(pool, def, ret_path, ret_uuid, error);
        if (r >= 0 && pool->def->type == POOL_LOGICAL)
                r = volume_find_backing(pool, def, &origin);
        if (r >= 0 && origin)
                r = incomplete_require_whole(origin, "copied by a snapshot", error);
        return r < 0 || !origin ? r : volume_secret_for_copy(origin, pool, def->name, ret_uuid, error);
}

static int create(Pool *pool, VolumeDef *def_arg, const char *operation, const char *preallocation,
                  uid_t uid, Job **ret, sd_bus_error *error)
{
        _cleanup_(volume_def_freep) VolumeDef *def = def_arg;
        _cleanup_free_ char *secret = NULL;
        VolumeLocks locks = {};
        char secret_uuid[37];
        VolumeWork *w;
        int r;

        if (volume_find(pool, def->name))
                return error_setf(error, STORAGE_ERROR_EXISTS, "Volume '%s' exists already in pool '%s'",
                                  def->name, pool->def->name);
        r = check_preallocation(pool, def, preallocation, error);
        if (r >= 0)
                r = choose_secret(pool, def, &secret, secret_uuid, error);
        if (r >= 0)
                r = lock(&locks, pool, def->name, NULL);
        if (r >= 0)
                r = lock_backing(&locks, pool, def);
        if (r >= 0)
                r = begin(pool, operation, def->name, "given a volume", &locks, uid, ret, error);
        if (r < 0) {
                volume_locks_done(&locks);
                return r;
        }
        w = (*ret)->data;
        w->secret = TAKE_PTR(secret);
        memcpy((*ret)->secret_uuid, secret_uuid, sizeof secret_uuid);
        r = volume_def_format_xml(def, &w->xml);
        if (r >= 0)
                r = free_and_strdup(&w->preallocation, preallocation);
        if (r < 0) {
                volume_job_finish_oom(*ret);
                return 0;
        }
        if (!is_reserved_first(pool, def))
                return submit(*ret, "CreateVolume", fill_create, create_done);
        data_job_reserve(*ret, w->xml, reserved);
        return 0;
}

int volume_create(Pool *pool, VolumeDef *def, const char *preallocation, uid_t uid, Job **ret,
                  sd_bus_error *error)
{
        return create(pool, def, "create-volume", preallocation, uid, ret, error);
}

int volume_create_linked(Pool *pool, VolumeDef *def, uid_t uid, Job **ret, sd_bus_error *error)
{
        return create(pool, def, "clone-volume", NULL, uid, ret, error);
}

int volume_create_snapshot_volume(Pool *pool, VolumeDef *def, uid_t uid, Job **ret, sd_bus_error *error)
{
        return create(pool, def, "create-snapshot", NULL, uid, ret, error);
}

/* delete */

static int fill_delete(Operation *op, sd_bus_message *m)
{
        VolumeWork *w = op->job->data;

        return sd_bus_message_append(m, "sa{sv}", op->job->volume_name, 3, "force", "b", (int) w->force, "durable",
                                     "b", (int) w->durable, "start", "t", op->job->volume_start);
}

static void delete_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        Volume *v = error ? NULL : volume_find(pool, op->job->volume_name);

        if (v)
                volume_gone(v);
        job_finish(op->job, error);
}

int volume_delete_as(Volume *v, const char *operation, bool force, uid_t uid, Job **ret, sd_bus_error *error)
{
        VolumeWork *w;
        int r;

        /* What others are built on stays: without it they are worth nothing. */
        r = volume_require_no_dependents(v, NULL, "deleted", error);
        if (r >= 0)
                r = volume_require_no_snapshot_files(v, error);
        if (r >= 0)
                r = begin_on(v, operation, "changed", uid, ret, error);
        if (r < 0)
                return r;
        w = (*ret)->data;
        w->force = force;
        w->durable = incomplete_knows(v) || volume_secret_name(v);
        return submit(*ret, "DeleteVolume", fill_delete, delete_done);
}

int volume_delete(Volume *v, bool force, uid_t uid, Job **ret, sd_bus_error *error)
{
        return volume_delete_as(v, "delete-volume", force, uid, ret, error);
}

/* resize */

static void resize_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        const VolumeWork *w = op->job->data;

        if (w->resize.shrink)
                incomplete_forget_source(pool->manager, pool->def->uuid, op->job->volume_name);
        if (error)
                job_finish(op->job, error);
        else
                volume_job_finish_with_row(op->job, pool, reply, NULL);
}

static int fill_resize(Operation *op, sd_bus_message *m)
{
        VolumeWork *w = op->job->data;
        int r;

        r = sd_bus_message_append(m, "st", op->job->volume_name, w->resize.capacity);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}", "shrink", "b", (int) w->resize.shrink,
                                          "allocate", "b", (int) w->resize.allocate, "force", "b",
                                          (int) w->resize.force, "start", "t", op->job->volume_start);
        /* So much more or less than what was seen: of something else it would be too much. */
        if (r >= 0 && w->resize.delta)
                r = sd_bus_message_append(m, "{sv}", "from", "t", w->from);
        if (r >= 0 && w->secret)
                r = sd_bus_message_append(m, "{sv}", "secret", "s", w->secret);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int absolute_capacity(const Volume *v, const VolumeResize *resize, uint64_t *ret, sd_bus_error *error)
{
        uint64_t now = v->row.capacity, change = resize->capacity;

        if (!resize->delta) {
                *ret = change;
                return 0;
        }
        if (resize->shrink ? change > now : change > (uint64_t) INT64_MAX - now)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Volume '%s' of %lu bytes cannot be %s by %lu bytes", v->row.name,
                                  (unsigned long) now, resize->shrink ? "shrunk" : "grown",
                                  (unsigned long) change);
        *ret = resize->shrink ? now - change : now + change;
        return 0;
}

int volume_resize(Volume *v, const VolumeResize *resize, uid_t uid, Job **ret, sd_bus_error *error)
{
        _cleanup_free_ char *secret = NULL;
        uint64_t capacity = 0;
        VolumeWork *w;
        int r;

        r = absolute_capacity(v, resize, &capacity, error);
        if (r < 0)
                return r;
        if (capacity > INT64_MAX)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Volume '%s' cannot be made that large", v->row.name);
        if (capacity < v->row.capacity && !resize->shrink)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Volume '%s' has %lu bytes: to make it smaller, at the loss of what is at "
                                  "its end, ask for shrink",
                                  v->row.name, (unsigned long) v->row.capacity);
        if (capacity < v->row.capacity)
                r = volume_require_no_dependents(v, NULL, "made smaller", error);
        if (r < 0)
                return r;
        /* The header of a container does not say how large it is, nor does what a guest has written to a device. */
        r = v->row.type == VOLUME_BLOCK || streq(v->row.format, "luks")
                    ? 0
                    : volume_secret_path(v, resize->secret, &secret, error);
        if (r >= 0 && resize->allocate && capacity > v->row.capacity && v->row.type == VOLUME_FILE)
                return volume_grow(v, capacity, resize->force, TAKE_PTR(secret), uid, ret, error);
        if (r >= 0)
                r = begin_on(v, "resize-volume", "changed", uid, ret, error);
        if (r < 0)
                return r;
        w = (*ret)->data;
        w->secret = TAKE_PTR(secret);
        w->resize = *resize;
        w->resize.secret = NULL;
        w->resize.capacity = capacity;
        w->from = v->row.capacity;
        return submit(*ret, "ResizeVolume", fill_resize, resize_done);
}

/* ensure */

/* A raw volume with LUKS is a container. Nobody who wants an encrypted one takes another for it. */
static int check_existing(const Volume *v, const VolumeDef *def, sd_bus_error *error)
{
        bool encrypted = v->row.extra && v->row.extra->encryption != ENCRYPTION_NONE,
             wanted = def->encryption.format != ENCRYPTION_NONE;
        const char *format = wanted && streq_ptr(def->format, "raw") ? "luks" : def->format;

        if (format && !streq(format, v->row.format))
                return error_setf(error, STORAGE_ERROR_EXISTS,
                                  "Volume '%s' exists in pool '%s', but its format is '%s', not '%s'",
                                  def->name, v->pool->def->name, v->row.format, format);
        if (wanted && !encrypted)
                return error_setf(error, STORAGE_ERROR_EXISTS,
                                  "Volume '%s' exists in pool '%s', but is not encrypted", def->name,
                                  v->pool->def->name);
        return 0;
}

int volume_ensure(Pool *pool, VolumeDef *def_arg, const char *preallocation, uid_t uid, Job **ret,
                  sd_bus_error *error)
{
        _cleanup_(volume_def_freep) VolumeDef *def = def_arg;
        VolumeResize grow = {.capacity = def->capacity};
        Volume *v = volume_find(pool, def->name);
        int r;

        if (!v) {
                r = volume_create(pool, TAKE_PTR(def), preallocation, uid, ret, error);
                if (r < 0)
                        return r;
                (*ret)->has_changes = true;
                return strv_extend(&(*ret)->changes, "created");
        }
        r = check_existing(v, def, error);
        if (r < 0)
                return r;
        if (v->row.capacity < def->capacity) {
                r = volume_resize(v, &grow, uid, ret, error);
                if (r < 0)
                        return r;
                (*ret)->has_changes = true;
                return strv_extend(&(*ret)->changes, "resized");
        }
        r = begin_on(v, "ensure-volume", "given a volume", uid, ret, error);
        if (r < 0)
                return r;
        (*ret)->has_changes = (*ret)->result_is_volume = true;
        job_finish(*ret, NULL);
        return 0;
}

/* open */

static int fill_open(Operation *op, sd_bus_message *m)
{
        VolumeWork *w = op->job->data;

        return sd_bus_message_append(m, "ssa{sv}", op->job->volume_name, w->write ? "rw" : "r", 1, "start", "t",
                                     op->job->volume_start);
}

static void open_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        _cleanup_bus_error_free_ sd_bus_error bad = SD_BUS_ERROR_NULL;
        int fd, r = 0;

        if (!error) {
                r = sd_bus_message_read(reply, "h", &fd);
                if (r >= 0) {
                        op->job->result_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                        r = op->job->result_fd < 0 ? -errno : 0;
                }
                if (r < 0)
                        (void) error_set_errno(&bad, r, "Cannot pass on the descriptor of volume '%s'",
                                               op->job->volume_name);
        }
        job_finish(op->job, error ? error : &bad);
}

int volume_open(Volume *v, const char *mode, uid_t uid, Job **ret, sd_bus_error *error)
{
        int r;

        r = begin_on(v, "open-volume", "read", uid, ret, error);
        if (r < 0)
                return r;
        ((VolumeWork *) (*ret)->data)->write = streq(mode, "rw");
        return submit(*ret, "OpenVolume", fill_open, open_done);
}
