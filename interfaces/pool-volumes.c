/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/paths.h"
#include "interfaces/pool-methods.h"
#include "interfaces/reply.h"
#include "service/volume-chain.h"
#include "service/volume-jobs.h"

typedef struct CreateArguments {
        const char *preallocation, *backing, *secret, *partition_type;
        uint64_t wait;
} CreateArguments;

/* backing: the path of the file behind a volume object. */
static int resolve_backing(Manager *m, VolumeDef *def, const char *object, sd_bus_error *error)
{
        Volume *v;

        if (!object)
                return 0;
        if (def->backing_path)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Give either backing or backing-path, not both");
        v = volume_of_path(m, object);
        if (!v)
                return error_setf(error, STORAGE_ERROR_NOT_FOUND, "There is no volume %s", object);
        def->backing_path = volume_path(v);
        if (!def->backing_path)
                return -ENOMEM;
        return def->backing_format ? 0 : free_and_strdup(&def->backing_format, volume_image_format(v));
}

static int check_arguments(const CreateArguments *a, sd_bus_error *error)
{
        static const char *const known[] = {"off", "metadata", "falloc", "full", NULL};

        if (a->partition_type)
                return error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                                  "Option 'partition-type' is not supported by pools of this type");
        if (a->preallocation && !strv_contains((char *const *) known, a->preallocation))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Option preallocation must be off, metadata, falloc or full, not '%.64s'",
                                  a->preallocation);
        return 0;
}

static int read_create(sd_bus_message *m, Pool *pool, VolumeDef **ret, CreateArguments *a,
                       sd_bus_error *error)
{
        _cleanup_(volume_def_freep) VolumeDef *def = volume_def_new();
        const Option options[] = {
                {"preallocation", 's', &a->preallocation},
                {"backing", 'o', &a->backing},
                {"secret", 's', &a->secret},
                {"partition-type", 's', &a->partition_type},
                {"wait", 't', &a->wait},
        };
        const char *name;
        int r;

        if (!def)
                return -ENOMEM;
        r = sd_bus_message_read(m, "st", &name, &def->capacity);
        if (r >= 0)
                r = free_and_strdup(&def->name, name);
        if (r >= 0)
                r = options_read_volume(m, options, ELEMENTSOF(options), def, error);
        if (r >= 0)
                r = check_arguments(a, error);
        if (r >= 0)
                r = options_set_secret(def, a->secret, error);
        if (r >= 0)
                r = resolve_backing(pool->manager, def, a->backing, error);
        if (r < 0)
                return r;
        /* 0 with a backing volume: as large as that one. */
        def->capacity_set = def->capacity > 0 || !def->backing_path;
        /* Unlike in XML, what is not asked for is not allocated, where volumes are files. */
        if (!def->allocation_set && !a->preallocation && pool_type_info(pool->def->type)->volume_formats) {
                def->allocation_set = true;
                def->allocation = 0;
        }
        r = volume_def_validate(def, pool->def->type, error);
        if (r >= 0)
                *ret = TAKE_PTR(def);
        return r;
}

static int read_create_xml(sd_bus_message *m, Pool *pool, VolumeDef **ret, CreateArguments *a,
                           sd_bus_error *error)
{
        const Option options[] = {{"preallocation", 's', &a->preallocation}, {"wait", 't', &a->wait}};
        const char *xml;
        int r;

        r = sd_bus_message_read(m, "s", &xml);
        if (r >= 0)
                r = volume_def_parse_xml(xml, strlen(xml), pool->def->type, ret, error);
        if (r >= 0)
                r = options_read(m, options, ELEMENTSOF(options), error);
        return r < 0 ? r : check_arguments(a, error);
}

/* Of a volume that is to be as large as what it is built on. */
static uint64_t backing_capacity(const Volume *backing, const VolumeDef *def)
{
        /* Of another format than it is taken for nobody here knows how large it is. */
        if (!backing || (def->backing_format && !streq(def->backing_format, volume_image_format(backing))))
                return UINT64_MAX;
        return backing->row.capacity;
}

/* Whoever has an overlay can read what it is built on. */
static int check_create(sd_bus_message *m, Pool *pool, const VolumeDef *def, uid_t *ret_uid,
                        sd_bus_error *error)
{
        Access access = {
                .action = "create-volume",
                .pool = pool->def->name,
                .type = pool_type_to_string(pool->def->type),
                .volume = def->name,
                .capacity = def->capacity,
        };
        Bus *b = bus_of(pool->manager);
        Volume *backing;
        int r;

        r = volume_find_backing(pool, def, &backing);
        if (r < 0)
                return r;
        if (!def->capacity_set)
                access.capacity = backing_capacity(backing, def);
        r = access_check(b, m, &access, ret_uid, error);
        if (r > 0 && backing)
                r = access_check_volume(b, m, "read-volume", backing, false, ret_uid, error);
        if (r > 0 && backing)
                r = access_check_chain(b, m, backing, ret_uid, error);
        if (r <= 0 || backing || !def->backing_path || pool->def->type != POOL_LOGICAL)
                return r;
        /* The worker would find the volume behind a link as well, about which nobody was asked here. */
        r = pool_require_active(pool, "given a volume", error);
        return r < 0 ? r
                     : error_setf(error, STORAGE_ERROR_NOT_FOUND,
                                  "The backing store '%s' of volume '%s' is no volume of pool '%s', as that "
                                  "of a snapshot must be",
                                  def->backing_path, def->name, pool->def->name);
}

static int create(sd_bus_message *m, Pool *pool, bool xml, bool ensure, sd_bus_error *error)
{
        _cleanup_(volume_def_freep) VolumeDef *def = NULL;
        _cleanup_(job_unrefp) Job *job = NULL;
        CreateArguments a = {.wait = WAIT_DEFAULT_USEC};
        Bus *b = bus_of(pool->manager);
        uid_t uid;
        int r;

        r = hold_until_scanned(b, pool, m, error);
        if (r == 0)
                return 1;
        if (r > 0)
                r = xml ? read_create_xml(m, pool, &def, &a, error) : read_create(m, pool, &def, &a, error);
        if (r < 0)
                return r;
        r = check_create(m, pool, def, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        if (ensure)
                r = volume_ensure(pool, TAKE_PTR(def), a.preallocation, uid, &job, error);
        else
                r = volume_create(pool, TAKE_PTR(def), a.preallocation, uid, &job, error);
        if (r < 0)
                return r;
        return reply_when_done(b, m, job, ensure ? REPLY_VOLUME_CHANGES : REPLY_VOLUME, a.wait, error);
}

int pool_method_create_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return create(m, userdata, false, false, error);
}

int pool_method_create_volume_xml(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return create(m, userdata, true, false, error);
}

int pool_method_ensure_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return create(m, userdata, false, true, error);
}

int pool_method_ensure_volume_xml(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return create(m, userdata, true, true, error);
}

/* look up and list */

int pool_method_get_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_free_ char *path = NULL;
        Pool *pool = userdata;
        const char *name;
        Volume *v;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
                r = hold_until_scanned(bus_of(pool->manager), pool, m, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = pool_require_active(pool, "searched", error);
        if (r < 0)
                return r;
        v = volume_find(pool, name);
        if (!v)
                return error_setf(error, STORAGE_ERROR_NOT_FOUND, "There is no volume '%.300s' in pool '%s'",
                                  name, pool->def->name);
        path = path_of_volume(pool, name);
        return path ? sd_bus_reply_method_return(m, "o", path) : -ENOMEM;
}

/* A page ends early before the bus would refuse it: 32 MiB is the end of whoever sends it. */
#define LIST_SIZE_MAX (16U * 1024 * 1024)
#define LIST_ROW_SIZE 80U

typedef struct ListArguments {
        const char *after, *prefix, *format;
        uint32_t limit;
} ListArguments;

/* Adds to *size what the row takes in the message, about. */
static int append_volume(sd_bus_message *reply, const Volume *v, size_t *size)
{
        _cleanup_free_ char *path = path_of_volume(v->pool, v->row.name), *key = volume_key(v);

        if (!path || !key)
                return -ENOMEM;
        *size += strlen(path) + strlen(key) + strlen(v->row.name) + LIST_ROW_SIZE;
        return sd_bus_message_append(reply, "(osssttta{sv})", path, v->row.name, key, v->row.format,
                                     v->row.capacity, v->row.allocation, (uint64_t) (v->row.mtime / 1000),
                                     0);
}

static int append_page(sd_bus_message *reply, Pool *pool, const ListArguments *a, const char **ret_next)
{
        const char *last = "";
        uint32_t n = 0;
        size_t size = 0;
        Volume *v;
        int r = 0;

        *ret_next = "";
        if (a->after[0] && strcmp(a->after, a->prefix) >= 0)
                v = volume_next_after(pool, a->after);
        else
                v = volume_first_from(pool, a->prefix);
        for (; r >= 0 && v; v = RB_NEXT(VolumeTree, &pool->volumes, v)) {
                if (!startswith(v->row.name, a->prefix))
                        break;
                if (a->format && !streq(a->format, v->row.format))
                        continue;
                if (n++ == a->limit || size > LIST_SIZE_MAX) {
                        *ret_next = last;
                        break;
                }
                r = append_volume(reply, v, &size);
                last = v->row.name;
        }
        return r;
}

int pool_method_list_volumes(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        ListArguments a = {.after = "", .prefix = "", .limit = LIST_LIMIT_MAX};
        const Option options[] = {
                {"after", 's', &a.after},
                {"limit", 'u', &a.limit},
                {"prefix", 's', &a.prefix},
                {"format", 's', &a.format},
        };
        const char *next = "";
        Pool *pool = userdata;
        int r;

        r = options_read(m, options, ELEMENTSOF(options), error);
        if (r >= 0)
                r = hold_until_scanned(bus_of(pool->manager), pool, m, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        if (a.limit == 0 || a.limit > LIST_LIMIT_MAX)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Option limit must be between 1 and %u", LIST_LIMIT_MAX);
        r = pool_require_active(pool, "listed", error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(osssttta{sv})");
        if (r >= 0)
                r = append_page(reply, pool, &a, &next);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "st", next, pool->generation);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
