/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-secret.h"

#include <inttypes.h>

#include "service/pool.h"
#include "service/store-read.h"

struct VolumeSecret {
        RB_ENTRY(VolumeSecret) node;
        uint64_t id; /* its file's name */
        char pool_uuid[37], secret_uuid[37];
        char *volume;
};

static int compare(VolumeSecret *a, VolumeSecret *b)
{
        int r = strcmp(a->pool_uuid, b->pool_uuid);

        return r ? r : strcmp(a->volume, b->volume);
}

RB_PROTOTYPE(VolumeSecretTree, VolumeSecret, node, compare)
RB_GENERATE(VolumeSecretTree, VolumeSecret, node, compare)

static VolumeSecret *find(Manager *m, const char *pool_uuid, const char *volume)
{
        VolumeSecret key = {.volume = (char *) volume};

        (void) snprintf(key.pool_uuid, sizeof key.pool_uuid, "%s", pool_uuid);
        return RB_FIND(VolumeSecretTree, &m->volume_secrets, &key);
}

static void record_free(Manager *m, VolumeSecret *s)
{
        RB_REMOVE(VolumeSecretTree, &m->volume_secrets, s);
        m->n_volume_secrets--;
        free(s->volume);
        free(s);
}

/* Of one volume there is one: a later one replaces it. */
static int add(Manager *m, uint64_t id, const char *pool_uuid, const char *volume, const char *secret_uuid,
               VolumeSecret **ret)
{
        VolumeSecret *s = find(m, pool_uuid, volume);

        if (!s) {
                s = calloc(1, sizeof *s);
                if (!s)
                        return -ENOMEM;
                s->id = id;
                (void) snprintf(s->pool_uuid, sizeof s->pool_uuid, "%s", pool_uuid);
                s->volume = strdup(volume);
                if (!s->volume) {
                        free(s);
                        return -ENOMEM;
                }
                RB_INSERT(VolumeSecretTree, &m->volume_secrets, s);
                m->n_volume_secrets++;
        }
        (void) snprintf(s->secret_uuid, sizeof s->secret_uuid, "%s", secret_uuid);
        if (id > m->last_volume_secret)
                m->last_volume_secret = id;
        *ret = s;
        return 0;
}

static int remove_file(Manager *m, StoreChange **list, const VolumeSecret *s)
{
        char name[24];

        (void) snprintf(name, sizeof name, "%" PRIu64, s->id);
        return store_change_remove(m, list, STORE_VOLUME_SECRET, name);
}

int volume_secret_record(Manager *m, const char *pool_uuid, const char *volume, const char *secret_uuid,
                         StoreDone done, void *userdata)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        _cleanup_free_ char *content = NULL;
        VolumeSecret *s;
        char name[24];
        int r;

        r = add(m, m->last_volume_secret + 1, pool_uuid, volume, secret_uuid, &s);
        if (r < 0)
                return r;
        (void) snprintf(name, sizeof name, "%" PRIu64, s->id);
        if (asprintf(&content, "pool=%s\nvolume=%s\nsecret=%s\n", pool_uuid, volume, secret_uuid) < 0) {
                content = NULL;
                return -ENOMEM;
        }
        r = store_change_write(m, &list, STORE_VOLUME_SECRET, name, content);
        return r < 0 ? r : store_apply(m->store, TAKE_PTR(list), done, userdata);
}

void volume_secret_forget(Manager *m, const char *pool_uuid, const char *volume)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        VolumeSecret *s = find(m, pool_uuid, volume);

        if (!s || remove_file(m, &list, s) < 0)
                return;
        record_free(m, s);
        (void) store_apply(m->store, TAKE_PTR(list), NULL, NULL);
}

bool volume_secret_is_known(Manager *m, const char *pool_uuid, const char *volume)
{
        return find(m, pool_uuid, volume);
}

void volume_secret_rename(Manager *m, const char *pool_uuid, const char *volume, const char *name)
{
        VolumeSecret *s = find(m, pool_uuid, volume);

        if (s)
                (void) volume_secret_record(m, pool_uuid, name, s->secret_uuid, NULL, NULL);
}

const char *volume_secret_name(const Volume *v)
{
        Manager *m = v->pool->manager;
        VolumeSecret *s = find(m, v->pool->def->uuid, v->row.name);
        const Secret *secret = s ? secret_find(m, s->secret_uuid) : NULL;

        return secret ? secret->usage : s ? s->secret_uuid : NULL;
}

bool volume_is_container(const Volume *v, bool named)
{
        if (v->row.type != VOLUME_BLOCK)
                return streq(v->row.format, "luks");
        return v->row.extra && v->row.extra->encryption == ENCRYPTION_LUKS &&
               (named || volume_secret_name(v));
}

int volume_secrets_require_no_job(Manager *m, const Secret *secret, const char *done, sd_bus_error *error)
{
        Job *job;

        TAILQ_FOREACH (job, &m->jobs, entry) {
                if (!job_is_over(job) && streq(job->secret_uuid, secret->uuid))
                        return error_setf(error, STORAGE_ERROR_BUSY,
                                          "Secret '%s' cannot be %s: job %lu (%s of %s) encrypts with it",
                                          secret->usage, done, (unsigned long) job->id, job->operation,
                                          strempty(job->volume_name));
        }
        return 0;
}

int volume_secrets_require_none(Manager *m, const Secret *secret, const char *done, sd_bus_error *error)
{
        char names[512] = "";
        VolumeSecret *s;
        size_t n = 0;

        RB_FOREACH (s, VolumeSecretTree, &m->volume_secrets) {
                const Pool *pool = manager_find_by_uuid(m, s->pool_uuid);

                if (!streq(s->secret_uuid, secret->uuid) || n >= sizeof names - 1)
                        continue;
                n += (size_t) snprintf(names + n, sizeof names - n, "%s'%s' of pool '%s'", n ? ", " : "",
                                       s->volume, pool ? pool->def->name : s->pool_uuid);
        }
        if (n == 0)
                return 0;
        return error_setf(error, STORAGE_ERROR_HAS_DEPENDENTS,
                          "Secret '%s' cannot be %s: encrypted with it, and lost without it, are %s. Use "
                          "force if you have it elsewhere",
                          secret->usage, done, names);
}

int volume_secret_add_to_def(const Volume *v, VolumeDef *def)
{
        const char *name = volume_secret_name(v);

        if (!name || def->encryption.format == ENCRYPTION_NONE)
                return 0;
        return volume_def_set_secret(def, name);
}

static unsigned count_of_pool(const Pool *pool)
{
        VolumeSecret key = {.volume = (char *) ""}, *s;
        unsigned n = 0;

        (void) snprintf(key.pool_uuid, sizeof key.pool_uuid, "%s", pool->def->uuid);
        s = RB_NFIND(VolumeSecretTree, &pool->manager->volume_secrets, &key);
        for (; s && streq(s->pool_uuid, pool->def->uuid); s = RB_NEXT(VolumeSecretTree, NULL, s))
                n++;
        return n;
}

int volume_secrets_require_room(const Pool *pool, const char *volume, sd_bus_error *error)
{
        const Manager *m = pool->manager;
        bool all = m->n_volume_secrets >= VOLUME_SECRETS_MAX;

        if (!all && count_of_pool(pool) < VOLUME_SECRETS_PER_POOL_MAX)
                return 0;
        return error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                          "Volume '%s' cannot be encrypted: %s has %u volumes already of which the service remembers "
                          "the secrets; delete some",
                          volume, all ? "this host" : "its pool",
                          all ? VOLUME_SECRETS_MAX : VOLUME_SECRETS_PER_POOL_MAX);
}

int volume_secret_for_new(const Pool *pool, const VolumeDef *def, char **ret_path, char ret_uuid[static 37],
                          sd_bus_error *error)
{
        const EncryptionSecret *s = def->encryption.secrets;
        Manager *m = pool->manager;
        const Secret *secret;
        int r;

        *ret_path = NULL;
        ret_uuid[0] = 0;
        if (def->encryption.format == ENCRYPTION_NONE)
                return 0;
        if (def->encryption.n_secrets == 0)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Volume '%s' is to be encrypted, but no secret is named for that",
                                  def->name);
        r = secret_require(m, s->uuid ?: s->usage, &secret, error);
        if (r >= 0)
                r = volume_secrets_require_room(pool, def->name, error);
        if (r < 0)
                return r;
        *ret_path = secret_value_path(m, secret);
        (void) snprintf(ret_uuid, 37, "%s", secret->uuid);
        return *ret_path ? 0 : -ENOMEM;
}

int volume_secret_for_copy(const Volume *source, const Pool *pool, const char *volume,
                           char ret_uuid[static 37], sd_bus_error *error)
{
        const VolumeSecret *s = find(pool->manager, source->pool->def->uuid, source->row.name);

        if (!s || !secret_find(pool->manager, s->secret_uuid))
                return 0;
        (void) snprintf(ret_uuid, 37, "%s", s->secret_uuid);
        return volume_secrets_require_room(pool, volume, error);
}

int volume_secret_path(const Volume *v, const char *given, char **ret, sd_bus_error *error)
{
        EncryptionFormat e = v->row.extra ? v->row.extra->encryption : ENCRYPTION_NONE;
        const char *name = given ?: volume_secret_name(v);
        const Secret *secret;
        int r;

        *ret = NULL;
        if (e == ENCRYPTION_NONE && given)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Volume '%s' is not encrypted, and needs no secret", v->row.name);
        if (e == ENCRYPTION_NONE)
                return 0;
        if (e != ENCRYPTION_LUKS)
                return error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                                  "Volume '%s' is encrypted with %s: only LUKS of version 1 can be opened",
                                  v->row.name, encryption_format_to_string(e));
        if (!name)
                return error_setf(
                        error, STORAGE_ERROR_NOT_FOUND,
                        "Volume '%s' is encrypted, and it is not known with which secret: name that "
                        "in the options",
                        v->row.name);
        r = secret_require(v->pool->manager, name, &secret, error);
        if (r < 0)
                return r;
        *ret = secret_value_path(v->pool->manager, secret);
        return *ret ? 0 : -ENOMEM;
}

int volume_secret_append(sd_bus_message *m, const char *path)
{
        return path ? sd_bus_message_append(m, "a{sv}", 1, "secret", "s", path)
                    : sd_bus_message_append(m, "a{sv}", 0);
}

/* at the start and the end */

static int load_one(Manager *m, const char *name, FILE *f)
{
        char volume[DEF_NAME_MAX + 1], pool[37], secret[37];
        const StoreField fields[] = {
                STORE_FIELD("pool", pool), STORE_FIELD("volume", volume), STORE_FIELD("secret", secret)};
        uint64_t id = store_read_number(name, 0);
        VolumeSecret *s;

        store_read_fields(f, fields, ELEMENTSOF(fields));
        /* The name of one that cannot be understood is taken all the same. */
        if (id > m->last_volume_secret)
                m->last_volume_secret = id;
        return id && volume[0] && pool[0] && secret[0] ? add(m, id, pool, volume, secret, &s) : -EINVAL;
}

int volume_secrets_load(Manager *m)
{
        return store_read_each(m, STORE_VOLUME_SECRET, load_one);
}

void volume_secrets_free_all(Manager *m)
{
        VolumeSecret *s;

        while ((s = RB_MIN(VolumeSecretTree, &m->volume_secrets)))
                record_free(m, s);
}
