/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/secret.h"
#include "common/log.h"

#include <dirent.h>

#include "common/def-util.h"
#include "service/store-read.h"
#include "service/volume-secret.h"

#define DESCRIPTION_MAX 1024U

static void secret_free(Manager *m, Secret *s)
{
        TAILQ_REMOVE(&m->secrets, s, entry);
        m->n_secrets--;
        free(s->usage);
        free(s->description);
        free(s);
}

static Secret *find(Manager *m, const char *name, bool stored)
{
        char uuid[37] = "";
        Secret *s;

        (void) uuid_normalize(name, uuid);
        TAILQ_FOREACH (s, &m->secrets, entry) {
                if ((s->stored || !stored) && (streq(s->usage, name) || streq(s->uuid, uuid)))
                        return s;
        }
        return NULL;
}

Secret *secret_find(Manager *m, const char *name)
{
        return find(m, name, true);
}

int secret_require(Manager *m, const char *name, const Secret **ret, sd_bus_error *error)
{
        *ret = secret_find(m, name);
        if (*ret)
                return 0;
        return def_error(error, STORAGE_ERROR_NOT_FOUND, -ENOENT,
                         "There is no secret '%.255s': SetSecret stores one under this usage", name);
}

static char *file_name(const Secret *s, const char *suffix)
{
        char *name;

        return asprintf(&name, "%s%s", s->uuid, suffix) < 0 ? NULL : name;
}

char *secret_value_path(Manager *m, const Secret *secret)
{
        _cleanup_free_ char *name = file_name(secret, ".value");

        return name ? store_path(m, STORE_SECRET, name) : NULL;
}

static int add(Manager *m, const char *usage, const char *uuid, const char *description, Secret **ret)
{
        Secret *s = calloc(1, sizeof *s);

        if (!s)
                return -ENOMEM;
        s->usage = strdup(usage);
        s->description = strdup(description);
        (void) snprintf(s->uuid, sizeof s->uuid, "%s", uuid);
        TAILQ_INSERT_TAIL(&m->secrets, s, entry);
        m->n_secrets++;
        if (!s->usage || !s->description) {
                secret_free(m, s);
                return -ENOMEM;
        }
        *ret = s;
        return 0;
}

/* jobs */

typedef struct Work {
        Manager *manager;
        Job *job;
        Secret *secret;
        char *description; /* set: the new one */
        bool remove;
} Work;

static void work_free(void *p)
{
        Work *w = p;

        free(w->description);
        free(w);
}

DEFINE_CLEANUP(Work *, work_free)

static void stored(const sd_bus_error *error, void *userdata)
{
        Work *w = userdata;
        Secret *s = w->secret;

        s->busy = false;
        if (w->remove ? !error : error && !s->stored)
                secret_free(w->manager, s);
        else if (!error && !w->remove) {
                s->stored = true;
                free(s->description);
                s->description = TAKE_PTR(w->description);
        }
        job_finish(w->job, error);
}

/* Takes the list of changes; and w, if there is a job, which comes to its end whatever happens. */
static int submit(Work *w, StoreChange *list, const char *operation, uid_t uid, Job **ret,
                  sd_bus_error *error)
{
        int r;

        r = job_new(w->manager, NULL, operation, uid, NULL, &w->job, error);
        if (r < 0) {
                store_change_free(list);
                return r;
        }
        w->job->data = w;
        w->job->free_data = work_free;
        w->secret->busy = true;
        *ret = job_ref(w->job);
        job_set_running(w->job);
        r = store_apply(w->manager->store, list, stored, w);
        if (r < 0)
                stored(&SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_MEMORY, "Out of memory"), w);
        return 0;
}

static int require_not_busy(const Secret *s, sd_bus_error *error)
{
        return s->busy ? def_error(error, STORAGE_ERROR_BUSY, -EBUSY, "Secret '%s' is just being changed",
                                   s->usage)
                       : 0;
}

static int check_value(const SecretValue *v, sd_bus_error *error)
{
        char uuid[37];
        int r;

        r = def_check_text("usage of the secret", v->usage, error);
        if (r >= 0)
                r = def_check_text("description of the secret", v->description, error);
        if (r < 0)
                return r;
        if (strlen(strempty(v->description)) > DESCRIPTION_MAX)
                return def_invalid(error, "The description of a secret has no more than %u bytes",
                                   DESCRIPTION_MAX);
        if (!v->usage[0] || strlen(v->usage) > SECRET_USAGE_MAX)
                return def_invalid(error, "The usage of a secret has 1 to %u bytes", SECRET_USAGE_MAX);
        if (uuid_normalize(v->usage, uuid) >= 0)
                return def_invalid(error,
                                   "The usage of a secret cannot be a UUID: that is another way to name it");
        if (v->uuid && uuid_normalize(v->uuid, uuid) < 0)
                return def_invalid(error, "'%.64s' is not a UUID", v->uuid);
        if (v->size == 0 || v->size > SECRET_SIZE_MAX)
                return def_invalid(error, "The value of secret '%s' must have 1 to %u bytes, not %zu",
                                   v->usage, SECRET_SIZE_MAX, v->size);
        return 0;
}

static int check_replaced(Manager *m, const Secret *s, const SecretValue *v, sd_bus_error *error)
{
        char uuid[37] = "";
        int r;

        r = require_not_busy(s, error);
        if (r < 0)
                return r;
        if (v->uuid)
                (void) uuid_normalize(v->uuid, uuid);
        if (v->uuid && !streq(uuid, s->uuid))
                return def_error(error, STORAGE_ERROR_EXISTS, -EEXIST,
                                 "Secret '%s' exists already, with the UUID %s", s->usage, s->uuid);
        r = volume_secrets_require_no_job(m, s, "given another value", error);
        return r < 0 || v->force ? r : volume_secrets_require_none(m, s, "given another value", error);
}

static int make_new(Manager *m, const SecretValue *v, Secret **ret, sd_bus_error *error)
{
        char uuid[37];

        if (m->n_secrets >= SECRETS_MAX)
                return error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "There are %u secrets already",
                                  SECRETS_MAX);
        if (!v->uuid)
                uuid_generate(uuid);
        else if (uuid_normalize(v->uuid, uuid) >= 0 && find(m, uuid, false))
                return def_error(error, STORAGE_ERROR_EXISTS, -EEXIST,
                                 "There is another secret with the UUID %s", uuid);
        return add(m, v->usage, uuid, "", ret);
}

/* The value first: the other file is what makes it one. */
static int list_changes(Manager *m, const Secret *s, const SecretValue *v, const char *description,
                        StoreChange **list)
{
        _cleanup_free_ char *content = NULL, *value = file_name(s, ".value"), *info = file_name(s, ".info");
        int r;

        if (!value || !info ||
            asprintf(&content, "uuid=%s\nusage=%s\ndescription=%s\n", s->uuid, s->usage, description) < 0) {
                content = NULL;
                return -ENOMEM;
        }
        r = store_change_write_secret(m, list, STORE_SECRET, value, v->value, v->size);
        return r < 0 ? r : store_change_write(m, list, STORE_SECRET, info, content);
}

int secret_set(Manager *m, const SecretValue *value, uid_t uid, Job **ret, sd_bus_error *error)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        _cleanup_(work_freep) Work *w = NULL;
        Secret *s = NULL;
        int r;

        r = check_value(value, error);
        if (r < 0)
                return r;
        s = find(m, value->usage, false);
        r = s ? check_replaced(m, s, value, error) : make_new(m, value, &s, error);
        if (r < 0)
                return r;
        w = calloc(1, sizeof *w);
        if (w) {
                *w = (Work){.manager = m, .secret = s};
                w->description = strdup(value->description ?: s->description);
        }
        r = w && w->description ? list_changes(m, s, value, w->description, &list) : -ENOMEM;
        if (r >= 0)
                r = submit(w, TAKE_PTR(list), "set-secret", uid, ret, error);
        if (r >= 0)
                w = NULL;
        else if (!s->stored)
                secret_free(m, s);
        return r;
}

int secret_remove(Manager *m, const char *name, bool force, uid_t uid, Job **ret, sd_bus_error *error)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        _cleanup_free_ char *info = NULL, *value = NULL;
        Secret *s = secret_find(m, name);
        const Secret *found;
        Work *w;
        int r;

        r = secret_require(m, name, &found, error);
        if (r >= 0)
                r = require_not_busy(found, error);
        if (r >= 0)
                r = volume_secrets_require_no_job(m, found, "removed", error);
        if (r >= 0 && !force)
                r = volume_secrets_require_none(m, found, "removed", error);
        if (r < 0)
                return r;
        info = file_name(s, ".info");
        value = file_name(s, ".value");
        r = info && value ? store_change_remove(m, &list, STORE_SECRET, info) : -ENOMEM;
        if (r >= 0)
                r = store_change_remove(m, &list, STORE_SECRET, value);
        w = r < 0 ? NULL : calloc(1, sizeof *w);
        if (!w)
                return -ENOMEM;
        *w = (Work){.manager = m, .secret = s, .remove = true};
        r = submit(w, TAKE_PTR(list), "remove-secret", uid, ret, error);
        if (r < 0)
                free(w);
        return r;
}

/* at the start */

static int load_one(Manager *m, const char *path, const char *uuid)
{
        char usage[SECRET_USAGE_MAX + 1], description[DESCRIPTION_MAX + 1];
        const StoreField fields[] = {STORE_FIELD("usage", usage), STORE_FIELD("description", description)};
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        Secret *s;
        int r;

        if (!f)
                return -errno;
        store_read_fields(f, fields, ELEMENTSOF(fields));
        if (!usage[0] || find(m, usage, false) || m->n_secrets >= SECRETS_MAX)
                return -EINVAL;
        r = add(m, usage, uuid, description, &s);
        if (r >= 0)
                s->stored = true;
        return r;
}

/* A value that lost its other file was being stored, or removed. */
static void remove_leftover(Manager *m, const char *file, const char *uuid)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        _cleanup_free_ char *info = NULL, *path = NULL;

        if (asprintf(&info, "%s.info", uuid) < 0) {
                info = NULL;
                return;
        }
        /* One that is there and cannot be read is a reason to look, not to throw the secret away. */
        path = store_path(m, STORE_SECRET, info);
        if (!path || access(path, F_OK) >= 0 || errno != ENOENT)
                return;
        if (!find(m, uuid, false) && store_change_remove(m, &list, STORE_SECRET, file) >= 0)
                (void) store_apply(m->store, TAKE_PTR(list), NULL, NULL);
}

static void load_files(Manager *m, DIR *dir, const char *suffix)
{
        struct dirent *entry;

        rewinddir(dir);
        while ((entry = readdir(dir))) {
                _cleanup_free_ char *path = store_path(m, STORE_SECRET, entry->d_name);
                const char *dot = strchr(entry->d_name, '.');
                char name[37] = "", uuid[37];

                if (!path || !dot || !streq(dot, suffix) || dot - entry->d_name != 36)
                        continue;
                memcpy(name, entry->d_name, 36);
                if (uuid_normalize(name, uuid) < 0 || !streq(name, uuid))
                        continue;
                if (streq(suffix, ".value"))
                        remove_leftover(m, entry->d_name, uuid);
                else if (load_one(m, path, uuid) < 0)
                        log_warning("Skipped %s: it does not tell a usage, or one that another file has",
                                    path);
        }
}

int secrets_load(Manager *m)
{
        _cleanup_free_ char *folder = store_path(m, STORE_SECRET, "");
        DIR *dir = folder ? opendir(folder) : NULL;

        if (!dir)
                return -errno;
        load_files(m, dir, ".info");
        load_files(m, dir, ".value");
        (void) closedir(dir);
        return 0;
}

void secrets_free_all(Manager *m)
{
        Secret *s;

        while ((s = TAILQ_FIRST(&m->secrets)))
                secret_free(m, s);
}
