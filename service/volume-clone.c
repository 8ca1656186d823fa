/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-clone.h"

#include "common/def-util.h"
#include "service/data-job.h"
#include "service/incomplete.h"
#include "service/volume-chain.h"
#include "service/volume-jobs.h"
#include "service/volume-secret.h"
#include "service/volume-work.h"

typedef struct Work {
        VolumeChain from; /* the source, and what that is built on */
        char *xml;
        char *preallocation;
        char *secret; /* the file of what it is encrypted with; NULL: it is not */
        const char *reflink;
        bool compress;
        int zero;
} Work;

static void work_free(void *p)
{
        Work *w = p;

        volume_chain_done(&w->from);
        free(w->xml);
        free(w->preallocation);
        free(w->secret);
        free(w);
}

/* what it will be */

static int set_format(const Pool *pool, const Volume *source, bool linked, VolumeDef *def)
{
        const PoolTypeInfo *info = pool_type_info(pool->def->type);

        if (def->format || !info->volume_formats)
                return 0;
        if (linked)
                return free_and_strdup(&def->format, "qcow2");
        if (def_list_has(info->volume_formats, source->row.format))
                return free_and_strdup(&def->format, source->row.format);
        return free_and_strdup(&def->format, info->default_volume_format);
}

/* XML that was made of the source's names what that is built on: the clone is not, as it is whole by itself.
 */
static int forget_backing(const Volume *source, VolumeDef *def, sd_bus_error *error)
{
        const VolumeExtra *extra = source->row.extra;

        if (def->backing_path && !(extra && streq_ptr(extra->backing_path, def->backing_path)))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "A clone has no backing store but, if it is linked, its source");
        def->backing_permissions = PERMISSIONS_UNSET;
        if (free_and_strdup(&def->backing_path, NULL) < 0)
                return -ENOMEM;
        return free_and_strdup(&def->backing_format, NULL);
}

static int set_backing(const Pool *pool, const Volume *source, VolumeDef *def)
{
        /* Of a snapshot LVM knows no format. */
        const char *format = pool->def->type == POOL_LOGICAL ? "raw" : volume_image_format(source);

        def->backing_path = volume_path(source);
        if (!def->backing_path)
                return -ENOMEM;
        return free_and_strdup(&def->backing_format, format);
}

/* By a guest of its own accord, as it may be on a device, is not meant: that is data like any other. */
static bool is_encrypted(const Volume *v, const VolumeClone *clone)
{
        return v->row.extra && v->row.extra->encryption == ENCRYPTION_LUKS &&
               (v->row.type == VOLUME_FILE || volume_is_container(v, clone->source_secret));
}

/* A container whose bytes are copied as they are. */
static bool is_copied_closed(const Pool *pool, const Volume *source, const VolumeClone *clone,
                             const VolumeDef *def)
{
        bool plain = !pool_type_has_files(pool->def->type) || streq(strempty(def->format), "raw") ||
                     streq(strempty(def->format), "luks");

        /* A linked clone of a logical volume is a snapshot of it, container or not. */
        return volume_is_container(source, false) && plain &&
               (!clone->linked || pool->def->type == POOL_LOGICAL) && !clone->source_secret &&
               def->encryption.format == ENCRYPTION_NONE;
}

/* What is in a clone comes from what its source is built on, too. A linked one leaves it there. */
static int set_encryption_as_behind(const Volume *source, const VolumeClone *clone, VolumeDef *def)
{
        const Volume *behind =
                clone->linked ? NULL : volume_chain_find_encrypted(source, volume_image_format(source));
        const char *name = behind ? volume_secret_name(behind) : NULL;

        /* Without a name it is refused when the chain is put together. */
        if (!name || def->encryption.format != ENCRYPTION_NONE)
                return 0;
        def->encryption.format = ENCRYPTION_LUKS;
        return volume_def_set_secret(def, name);
}

/* Nothing is decrypted for good unless the caller names the secret of the source, and only that. */
static int set_encryption(const Pool *pool, const Volume *source, const VolumeClone *clone, VolumeDef *def,
                          sd_bus_error *error)
{
        const char *name = volume_secret_name(source);

        if (!is_encrypted(source, clone))
                return clone->source_secret ? error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                                         "Volume '%s' is not encrypted, and needs no secret",
                                                         source->row.name)
                                            : set_encryption_as_behind(source, clone, def);
        if (def->encryption.format != ENCRYPTION_NONE || clone->source_secret ||
            is_copied_closed(pool, source, clone, def))
                return 0;
        if (!name)
                return error_setf(
                        error, STORAGE_ERROR_NOT_FOUND,
                        "Volume '%s' is encrypted, and it is not known with which secret: name that "
                        "in source-secret, and encryption and secret of the clone, if it is to be "
                        "encrypted, too",
                        source->row.name);
        def->encryption.format = ENCRYPTION_LUKS;
        return volume_def_set_secret(def, name);
}

/* What is before the data of a container that stays closed: its capacity is without. */
static uint64_t header_size(const Pool *pool, const Volume *source, const VolumeClone *clone,
                            const VolumeDef *def)
{
        if (is_encrypted(source, clone) && !is_copied_closed(pool, source, clone, def))
                return 0;
        if (source->row.type == VOLUME_BLOCK)
                return source->row.extra ? source->row.extra->header_size : 0;
        return streq(source->row.format, "luks") && source->row.physical > source->row.capacity
                       ? source->row.physical - source->row.capacity
                       : 0;
}

int volume_clone_complete(const Pool *pool, const Volume *source, const VolumeClone *clone, VolumeDef *def,
                          sd_bus_error *error)
{
        bool files = pool_type_info(pool->def->type)->volume_formats;
        int r;

        if (source->row.type == VOLUME_DIR)
                return error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                                  "Volume '%s' cannot be cloned: it is a folder", source->row.name);
        if (clone->linked && (clone->compress || !streq(clone->reflink, "auto") || clone->preallocation))
                return error_setf(
                        error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "A linked clone has nothing that could be compressed, shared or allocated");
        r = forget_backing(source, def, error);
        if (r >= 0)
                r = set_format(pool, source, clone->linked, def);
        if (r >= 0 && clone->linked)
                r = set_backing(pool, source, def);
        if (r >= 0)
                r = set_encryption(pool, source, clone, def, error);
        if (r < 0)
                return r;
        if (!def->capacity_set || def->capacity < source->row.capacity)
                def->capacity = source->row.capacity;
        if (def->capacity <= INT64_MAX)
                def->capacity += header_size(pool, source, clone, def);
        def->capacity_set = true;
        /* As in the source: what is a hole there stays one. A part of a file is no use to anybody. */
        if (files && (!def->allocation_set || def->allocation < def->capacity)) {
                def->allocation_set = true;
                def->allocation = 0;
        }
        /* A thin one may be larger than what is there, but not so its contents. */
        if (!files && def->allocation_set && def->allocation < def->capacity) {
                uint64_t needed =
                        source->row.allocation < def->capacity ? source->row.allocation : def->capacity - 1;

                def->allocation = def->allocation > needed ? def->allocation : needed;
        }
        return 0;
}

static int check(const Pool *pool, const Volume *source, const VolumeDef *def, const VolumeClone *clone,
                 sd_bus_error *error)
{
        int r;

        if (volume_find((Pool *) pool, def->name))
                return error_setf(error, STORAGE_ERROR_EXISTS, "Volume '%s' exists already in pool '%s'",
                                  def->name, pool->def->name);
        if (clone->compress && !streq_ptr(def->format, "qcow2"))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Volume '%s' cannot be compressed: qcow2 can be, not %s", def->name,
                                  def->format ?: "a block device");
        if (clone->compress && clone->preallocation && !streq(clone->preallocation, "off"))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Volume '%s' cannot be both compressed and preallocated", def->name);
        r = incomplete_require_whole(source, "cloned", error);
        return r < 0 ? r : pool_require_active(source->pool, "read", error);
}

/* the steps */

static void publish_done(Operation *op, Pool *pool, sd_bus_message *reply, const sd_bus_error *error)
{
        if (error)
                job_finish(op->job, error);
        else
                volume_job_finish_made(op->job, pool, reply);
}

static void copied(Job *job, const sd_bus_error *error)
{
        data_job_publish(job, error, publish_done);
}

static int fill_copy(Job *job, sd_bus_message *m)
{
        _cleanup_free_ char *pool_xml = NULL;
        Work *w = job->data;
        int r;

        r = pool_def_format_xml(job->pool->def, NULL, &pool_xml);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssh", pool_xml, w->xml, data_job_fd(job, 0));
        if (r >= 0)
                r = volume_chain_append(job, &w->from, 0, w->from.n, 1, m);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}", "reflink", "s", w->reflink, "compress", "b",
                                          (int) w->compress, "preallocation", "s",
                                          strempty(w->preallocation), "zero", "b", w->zero);
        if (r >= 0 && w->secret)
                r = sd_bus_message_append(m, "{sv}", "secret", "s", w->secret);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static void reserved(Job *job, int fd, bool zero)
{
        const DataStep step = {.verb = "Copy", .kind = DATA_MAKES, .fill = fill_copy};
        Work *w = job->data;
        int fds[DATA_FDS_MAX] = {fd};

        w->zero = zero;
        for (size_t i = 0; i < w->from.n; i++)
                fds[i + 1] = w->from.members[i].fd;
        job->next = copied;
        data_job_run(job, &step, fds, w->from.n + 1);
        /* The data job has copies of them. */
        for (size_t i = 0; i < w->from.n; i++)
                w->from.members[i].fd = safe_close(w->from.members[i].fd);
}

static void opened(Job *job)
{
        Work *w = job->data;

        data_job_reserve(job, w->xml, reserved);
}

static int prepare(const Volume *source, const VolumeDef *def, const VolumeClone *clone, Work *w,
                   sd_bus_error *error)
{
        const char *format =
                volume_is_container(source, clone->source_secret) ? "luks" : volume_image_format(source);
        int r;

        w->reflink = clone->reflink;
        w->compress = clone->compress;
        r = volume_def_format_xml(def, &w->xml);
        if (r >= 0)
                r = free_and_strdup(&w->preallocation, clone->preallocation);
        if (r >= 0)
                r = volume_chain_add(&w->from, source, format, false, error);
        return r < 0 ? r : volume_chain_add_backing(&w->from, source, format, error);
}

/* The files of the secrets, and with which one the clone will be encrypted. */
static int prepare_secrets(const Pool *pool, const Volume *source, const VolumeDef *def,
                           const VolumeClone *clone, Work *w, char ret_uuid[static 37], sd_bus_error *error)
{
        int r;

        r = volume_secret_for_new(pool, def, &w->secret, ret_uuid, error);
        if (r < 0 || !is_encrypted(source, clone))
                return r;
        if (!is_copied_closed(pool, source, clone, def))
                return volume_secret_path(source, clone->source_secret, &w->from.members[0].secret, error);
        return volume_secret_for_copy(source, pool, def->name, ret_uuid, error);
}

static int take_locks(VolumeLocks *l, Pool *pool, Volume *source, const VolumeDef *def)
{
        int r;

        r = volume_locks_add(l, pool, def->name, false);
        if (r >= 0)
                r = volume_locks_add(l, source->pool, source->row.name, true);
        return r < 0 ? r : volume_locks_add_chain(l, source);
}

static int begin(Pool *pool, Volume *source, const VolumeDef *def, const VolumeClone *clone, uid_t uid,
                 Job **ret, sd_bus_error *error)
{
        Work *w = calloc(1, sizeof *w);
        VolumeLocks locks = {};
        char secret_uuid[37];
        int r;

        if (!w)
                return -ENOMEM;
        r = prepare(source, def, clone, w, error);
        if (r >= 0)
                r = prepare_secrets(pool, source, def, clone, w, secret_uuid, error);
        if (r >= 0)
                r = take_locks(&locks, pool, source, def);
        if (r >= 0)
                r = volume_job_begin(pool, "clone-volume", def->name, "given a volume", &locks, uid, ret,
                                     error);
        if (r < 0) {
                volume_locks_done(&locks);
                work_free(w);
                return r;
        }
        (*ret)->data = w;
        (*ret)->free_data = work_free;
        memcpy((*ret)->secret_uuid, secret_uuid, sizeof secret_uuid);
        volume_chain_open(*ret, opened);
        return 0;
}

int volume_clone(Pool *pool, Volume *source, VolumeDef *def_arg, const VolumeClone *clone, uid_t uid,
                 Job **ret, sd_bus_error *error)
{
        _cleanup_(volume_def_freep) VolumeDef *def = def_arg;
        int r;

        r = check(pool, source, def, clone, error);
        if (r < 0)
                return r;
        if (clone->linked)
                return volume_create_linked(pool, TAKE_PTR(def), uid, ret, error);
        return begin(pool, source, def, clone, uid, ret, error);
}
