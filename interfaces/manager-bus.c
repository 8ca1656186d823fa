/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.example.Storage1.Manager: see interfaces/org.example.Storage1.Manager.xml. */

#include "interfaces/access.h"
#include "interfaces/capabilities.h"
#include "interfaces/manager-methods.h"
#include "interfaces/options.h"
#include "interfaces/paths.h"
#include "interfaces/reply.h"
#include "service/find-sources.h"
#include "service/pool-define.h"

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        return sd_bus_message_append(reply, "s", STORAGED_VERSION);
}

static int get_features(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        static const char *const features[] = {
                "dir-pools",     "jobs",        "live",       "paging",       "ensure",
                "preallocation", "block-pools", "arrays",     "find-sources", "data-jobs",
                "clone",         "wipe",        "transfer",   "import",       "snapshots",
                "backing-graph", "guest-disks", "encryption", NULL,
        };

        return sd_bus_message_append_strv(reply, (char **) features);
}

static int get_instance(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        return sd_bus_message_append(reply, "s", ((Manager *) userdata)->instance_id);
}

/* define */

typedef struct DefineArguments {
        DefineOptions options;
        const char *uuid;
        uint64_t wait;
} DefineArguments;

static int read_define_options(sd_bus_message *m, DefineArguments *a, sd_bus_error *error)
{
        const Option options[] = {
                {"build", 'b', &a->options.build},
                {"overwrite", 'b', &a->options.overwrite},
                {"start", 'b', &a->options.start},
                {"autostart", 'b', &a->options.autostart},
                {"transient", 'b', &a->options.transient},
                {"dry-run", 'b', &a->options.dry_run},
                {"uuid", 's', &a->uuid},
                {"wait", 't', &a->wait},
        };

        *a = (DefineArguments){.wait = WAIT_DEFAULT_USEC};
        return options_read(m, options, ELEMENTSOF(options), error);
}

static int set_uuid(PoolDef *def, const char *uuid, sd_bus_error *error)
{
        char canonical[37];

        if (!uuid)
                return 0;
        if (uuid_normalize(uuid, canonical) < 0)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT, "'%.64s' is not a UUID", uuid);
        if (def->uuid && !streq(def->uuid, canonical))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Option uuid (%s) and the definition's UUID (%s) differ", canonical,
                                  def->uuid);
        return free_and_strdup(&def->uuid, canonical);
}

static int read_type(sd_bus_message *m, PoolType *ret, sd_bus_error *error)
{
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        *ret = pool_type_from_string(name);
        if (*ret == _POOL_TYPE_INVALID)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT, "There is no pool type '%.64s'",
                                  name);
        return 0;
}

static int read_dict_arguments(sd_bus_message *m, PoolDef **def, DefineArguments *a, sd_bus_error *error)
{
        const char *name;
        PoolType type;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
                r = read_type(m, &type, error);
        if (r < 0)
                return r;
        r = pool_def_read_dict(m, name, type, def, error);
        return r < 0 ? r : read_define_options(m, a, error);
}

static int read_xml_arguments(sd_bus_message *m, PoolDef **def, DefineArguments *a, sd_bus_error *error)
{
        const char *xml;
        int r;

        r = sd_bus_message_read(m, "s", &xml);
        if (r < 0)
                return r;
        r = pool_def_parse_xml(xml, strlen(xml), def, error);
        return r < 0 ? r : read_define_options(m, a, error);
}

static int define(sd_bus_message *m, Manager *manager, bool xml, bool ensure, sd_bus_error *error)
{
        _cleanup_(pool_def_freep) PoolDef *def = NULL;
        _cleanup_(job_unrefp) Job *job = NULL;
        Access access = {.action = "define-pool", .capacity = UINT64_MAX};
        Bus *b = bus_of(manager);
        DefineArguments a;
        uid_t uid;
        int r;

        r = xml ? read_xml_arguments(m, &def, &a, error) : read_dict_arguments(m, &def, &a, error);
        if (r >= 0)
                r = set_uuid(def, a.uuid, error);
        if (r < 0)
                return r;
        access.pool = def->name;
        access.type = pool_type_to_string(def->type);
        access.force = a.options.overwrite;
        r = access_check(b, m, &access, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        if (ensure)
                r = pool_ensure(manager, TAKE_PTR(def), &a.options, uid, &job, error);
        else
                r = pool_define(manager, TAKE_PTR(def), &a.options, uid, &job, error);
        if (r < 0)
                return r;
        return reply_when_done(b, m, job, ensure ? REPLY_POOL_CHANGES : REPLY_POOL, a.wait, error);
}

static int method_define(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return define(m, userdata, false, false, error);
}

static int method_define_xml(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return define(m, userdata, true, false, error);
}

static int method_ensure(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return define(m, userdata, false, true, error);
}

static int method_ensure_xml(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return define(m, userdata, true, true, error);
}

/* find */

static int append_pool(sd_bus_message *reply, const Pool *pool)
{
        _cleanup_free_ char *path = path_of_pool(pool);

        if (!path)
                return -ENOMEM;
        return sd_bus_message_append(reply, "(ossssbbttta{sv})", path, pool->def->name,
                                     pool_type_to_string(pool->def->type), pool_state_to_string(pool->state),
                                     pool->health, (int) pool->autostart, (int) pool->persistent,
                                     pool->status.capacity, pool->status.allocation, pool->status.available,
                                     0);
}

static int method_list_pools(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        const char *state = NULL, *type = NULL;
        const Option options[] = {{"state", 's', &state}, {"type", 's', &type}};
        Manager *manager = userdata;
        Pool *pool;
        int r;

        r = options_read(m, options, ELEMENTSOF(options), error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ossssbbttta{sv})");
        TAILQ_FOREACH (pool, &manager->pools, entry) {
                if (r < 0)
                        return r;
                if (!pool->announced || (state && !streq(state, pool_state_to_string(pool->state))) ||
                    (type && !streq(type, pool_type_to_string(pool->def->type))))
                        continue;
                r = append_pool(reply, pool);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int reply_pool(sd_bus_message *m, const Pool *pool, const char *what, const char *value,
                      sd_bus_error *error)
{
        _cleanup_free_ char *path = NULL;

        if (!pool || !pool->announced)
                return error_setf(error, STORAGE_ERROR_NOT_FOUND, "There is no pool with %s '%.512s'", what,
                                  value);
        path = path_of_pool(pool);
        return path ? sd_bus_reply_method_return(m, "o", path) : -ENOMEM;
}

static int method_get_by_name(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        return r < 0 ? r : reply_pool(m, manager_find_by_name(userdata, name), "the name", name, error);
}

static int method_get_by_uuid(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        char canonical[37];
        const char *uuid;
        int r;

        r = sd_bus_message_read(m, "s", &uuid);
        if (r < 0)
                return r;
        if (uuid_normalize(uuid, canonical) < 0)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT, "'%.64s' is not a UUID", uuid);
        return reply_pool(m, manager_find_by_uuid(userdata, canonical), "UUID", uuid, error);
}

static int read_path(sd_bus_message *m, char **ret, sd_bus_error *error)
{
        const char *path;
        int r;

        r = sd_bus_message_read(m, "s", &path);
        if (r < 0)
                return r;
        if (path_normalize(path, ret) < 0)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "'%.512s' is not an absolute path without '..'", path);
        return 0;
}

static int method_get_by_target(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_free_ char *path = NULL;
        int r;

        r = read_path(m, &path, error);
        return r < 0 ? r : reply_pool(m, manager_find_by_target(userdata, path), "target path", path, error);
}

static int method_get_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_free_ char *path = NULL, *object = NULL;
        Manager *manager = userdata;
        Volume *v;
        int r;

        r = read_path(m, &path, error);
        if (r < 0)
                return r;
        v = volume_find_by_path(manager, path);
        if (!v)
                v = volume_find_by_device(manager, path);
        if (!v) {
                r = hold_until_all_scanned(bus_of(manager), m, error);
                if (r <= 0)
                        return r < 0 ? r : 1;
                return error_setf(error, STORAGE_ERROR_NOT_FOUND,
                                  "There is no volume with path '%s' in an active pool", path);
        }
        object = path_of_volume(v->pool, v->row.name);
        return object ? sd_bus_reply_method_return(m, "o", object) : -ENOMEM;
}

static int append_volume(sd_bus_message *reply, const Volume *v)
{
        _cleanup_free_ char *object = path_of_volume(v->pool, v->row.name);

        return object ? sd_bus_message_append(reply, "o", object) : -ENOMEM;
}

static int method_get_by_key(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        Manager *manager = userdata;
        const char *key;
        OddVolume *odd;
        Volume *v;
        int r;

        r = sd_bus_message_read(m, "s", &key);
        if (r >= 0)
                r = hold_until_all_scanned(bus_of(manager), m, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "o");
        v = volume_find_by_path(manager, key);
        if (r >= 0 && v && (!v->row.extra || !v->row.extra->key))
                r = append_volume(reply, v);
        RB_FOREACH (odd, OddTree, &manager->odd_volumes) {
                if (r >= 0 && streq_ptr(odd->volume->row.extra->key, key))
                        r = append_volume(reply, odd->volume);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_capabilities(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_free_ char *xml = NULL;
        int r;

        r = capabilities_xml(userdata, &xml);
        return r < 0 ? r : sd_bus_reply_method_return(m, "s", xml);
}

/* sources */

static int read_source(sd_bus_message *m, PoolType type, bool as_xml, PoolDef **ret, sd_bus_error *error)
{
        const char *xml;
        int r;

        if (!as_xml)
                return pool_source_read_dict(m, type, ret, error);
        r = sd_bus_message_read(m, "s", &xml);
        if (r < 0)
                return r;
        /* libvirt takes none at all for "all that there is". */
        return pool_source_parse_xml(type, isempty(xml) ? "<source/>" : xml,
                                     isempty(xml) ? strlen("<source/>") : strlen(xml), ret, error);
}

static int method_find(sd_bus_message *m, Manager *manager, bool as_xml, sd_bus_error *error)
{
        _cleanup_(pool_def_freep) PoolDef *source = NULL;
        _cleanup_(job_unrefp) Job *job = NULL;
        uint64_t wait = WAIT_DEFAULT_USEC;
        const Option options[] = {{"wait", 't', &wait}};
        Access access = {.action = "find-sources", .capacity = UINT64_MAX};
        Bus *b = bus_of(manager);
        PoolType type;
        uid_t uid;
        int r;

        r = read_type(m, &type, error);
        if (r >= 0)
                r = read_source(m, type, as_xml, &source, error);
        if (r >= 0)
                r = options_read(m, options, ELEMENTSOF(options), error);
        if (r < 0)
                return r;
        access.type = pool_type_to_string(type);
        r = access_check(b, m, &access, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = find_sources(manager, source, as_xml, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_SOURCES, wait, error);
}

static int method_find_sources(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return method_find(m, userdata, false, error);
}

static int method_find_sources_xml(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return method_find(m, userdata, true, error);
}

const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Features", "as", get_features, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("InstanceID", "s", get_instance, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("PoolTypes", "a{sa{sv}}", capabilities_get_pool_types, 0,
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_METHOD_WITH_ARGS(
                "DefinePool", SD_BUS_ARGS("s", name, "s", type, "a{sv}", definition, "a{sv}", options),
                SD_BUS_RESULT("o", pool, "o", job), method_define, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DefinePoolFromXML", SD_BUS_ARGS("s", xml, "a{sv}", options),
                                SD_BUS_RESULT("o", pool, "o", job), method_define_xml,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("EnsurePool",
                                SD_BUS_ARGS("s", name, "s", type, "a{sv}", definition, "a{sv}", options),
                                SD_BUS_RESULT("o", pool, "as", changes, "o", job), method_ensure,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("EnsurePoolFromXML", SD_BUS_ARGS("s", xml, "a{sv}", options),
                                SD_BUS_RESULT("o", pool, "as", changes, "o", job), method_ensure_xml,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListPools", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a(ossssbbttta{sv})", pools), method_list_pools,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetPoolByName", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", pool),
                                method_get_by_name, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetPoolByUUID", SD_BUS_ARGS("s", uuid), SD_BUS_RESULT("o", pool),
                                method_get_by_uuid, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetPoolByTargetPath", SD_BUS_ARGS("s", path), SD_BUS_RESULT("o", pool),
                                method_get_by_target, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetVolumeByPath", SD_BUS_ARGS("s", path), SD_BUS_RESULT("o", volume),
                                method_get_volume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetVolumesByKey", SD_BUS_ARGS("s", key), SD_BUS_RESULT("ao", volumes),
                                method_get_by_key, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("FindPoolSources", SD_BUS_ARGS("s", type, "a{sv}", source, "a{sv}", options),
                                SD_BUS_RESULT("aa{sv}", sources, "o", job), method_find_sources,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("FindPoolSourcesXML", SD_BUS_ARGS("s", type, "s", source, "a{sv}", options),
                                SD_BUS_RESULT("s", xml, "o", job), method_find_sources_xml,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetCapabilities", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", xml),
                                method_capabilities, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetSecret", SD_BUS_ARGS("s", usage, "ay", value, "a{sv}", options),
                                SD_BUS_NO_RESULT, manager_method_set_secret,
                                SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("RemoveSecret", SD_BUS_ARGS("s", usage, "a{sv}", options), SD_BUS_NO_RESULT,
                                manager_method_remove_secret, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListSecrets", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a(sss)", secrets), manager_method_list_secrets,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
