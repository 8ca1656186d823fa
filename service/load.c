/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/load.h"
#include "common/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "service/data-recover.h"
#include "service/incomplete.h"
#include "service/pool-conflict.h"
#include "service/pool-lifecycle.h"
#include "service/store.h"
#include "service/volume-secret.h"

static int read_file(const char *path, char **ret, size_t *ret_size)
{
        _cleanup_free_ char *buf = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        size_t n = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_size > (off_t) DEF_XML_MAX)
                return -EFBIG;
        buf = malloc(DEF_XML_MAX);
        if (!buf)
                return -ENOMEM;
        while (n < DEF_XML_MAX) {
                ssize_t k = read(fd, buf + n, DEF_XML_MAX - n);

                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t) k;
        }
        *ret = TAKE_PTR(buf);
        *ret_size = n;
        return 0;
}

/* A definition whose file is called as its pool; anything else is reported. */
static int read_def(const char *path, const char *file, PoolDef **ret)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(pool_def_freep) PoolDef *def = NULL;
        _cleanup_free_ char *xml = NULL;
        size_t n = 0;
        int r;

        r = read_file(path, &xml, &n);
        if (r < 0) {
                log_warning("Skipped %s: %s", path, strerrordesc_np(-r));
                return r;
        }
        r = pool_def_parse_xml(xml, n, &def, &error);
        if (r < 0) {
                log_warning("Skipped %s: %s", path, error.message ? error.message : strerrordesc_np(-r));
                return r;
        }
        if (strlen(def->name) + 4 != strlen(file) || !startswith(file, def->name)) {
                log_warning("Skipped %s: it defines pool '%s', so its name must be '%s.xml'", path,
                            def->name, def->name);
                return -EINVAL;
        }
        *ret = TAKE_PTR(def);
        return 0;
}

static bool is_definition(const char *file)
{
        size_t n = strlen(file);

        return n > 4 && file[0] != '.' && streq(file + n - 4, ".xml");
}

/* A definition written by hand may lack a UUID: it gets one for good, as it is part of the pool's path. */
static int ensure_uuid(Manager *m, PoolDef *def)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        _cleanup_free_ char *xml = NULL;
        char uuid[37];
        int r;

        if (def->uuid)
                return 0;
        uuid_generate(uuid);
        r = free_and_strdup(&def->uuid, uuid);
        if (r >= 0)
                r = pool_def_format_xml(def, NULL, &xml);
        if (r >= 0)
                r = store_change_write(m, &list, STORE_POOL, def->name, xml);
        return r < 0 ? r : store_apply(m->store, TAKE_PTR(list), NULL, NULL);
}

static int load_definition(Manager *m, const char *path, const char *file)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(pool_def_freep) PoolDef *def = NULL;
        _cleanup_free_ char *link = NULL;
        Pool *pool;
        int r;

        r = read_def(path, file, &def);
        if (r < 0)
                return r;
        r = ensure_uuid(m, def);
        if (r >= 0)
                r = pool_conflict_check(m, def, NULL, false, &error);
        if (r < 0) {
                log_warning("Skipped %s: %s", path, strempty(error.message));
                return r;
        }
        link = store_path(m, STORE_AUTOSTART, def->name);
        if (!link)
                return -ENOMEM;
        r = pool_new(m, def, &pool);
        if (r < 0)
                return r;
        def = NULL;
        pool->persistent = true;
        pool->autostart = faccessat(AT_FDCWD, link, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
        return 0;
}

/* What a pool was started with is in force until it is stopped, whatever its definition says by now. */
static int load_active(Manager *m, const char *path, const char *file)
{
        _cleanup_(pool_def_freep) PoolDef *def = NULL;
        Pool *pool;
        int r;

        r = read_def(path, file, &def);
        if (r < 0)
                return r;
        if (!def->uuid)
                return -EINVAL;
        pool = manager_find_by_name(m, def->name);
        if (!pool) {
                r = pool_new(m, def, &pool);
                if (r < 0)
                        return r;
                def = NULL;
        } else if (!streq(pool->def->uuid, def->uuid)) {
                log_warning("Skipped %s: pool '%s' has another UUID now", path, def->name);
                return -EINVAL;
        } else if (!pool_def_equal(pool->def, def)) {
                pool->pending = pool->def;
                pool->def = TAKE_PTR(def);
        }
        pool->adopting = true;
        return 0;
}

/* Each definition file of a folder; what cannot be taken over is in unreadable, if that is not NULL. */
static int load_folder(Manager *m, StoreFile kind,
                       int (*load)(Manager *m, const char *path, const char *file), char ***unreadable)
{
        _cleanup_free_ char *folder = store_path(m, kind, "x");
        struct dirent *entry;
        DIR *dir;

        if (!folder)
                return -ENOMEM;
        *strrchr(folder, '/') = 0;
        dir = opendir(folder);
        if (!dir)
                return -errno;
        while ((entry = readdir(dir))) {
                _cleanup_free_ char *path = NULL, *name = NULL;

                if (!is_definition(entry->d_name))
                        continue;
                name = strndup(entry->d_name, strlen(entry->d_name) - 4);
                path = name ? store_path(m, kind, name) : NULL;
                if (!path)
                        break;
                if (load(m, path, entry->d_name) < 0 && unreadable)
                        (void) strv_extend(unreadable, name);
        }
        (void) closedir(dir);
        return 0;
}

int load_pools(Manager *m)
{
        int r;

        r = load_folder(m, STORE_POOL, load_definition, &m->unreadable);
        if (r >= 0)
                r = load_folder(m, STORE_ACTIVE, load_active, NULL);
        return r;
}

static bool autostart_is_due(const Pool *pool)
{
        _cleanup_free_ char *marker = store_path(pool->manager, STORE_AUTOSTARTED, pool->def->uuid);

        return pool->autostart && pool->state == POOL_INACTIVE && marker && access(marker, F_OK) < 0;
}

void load_begin(Manager *m)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Pool *pool, *next;

        TAILQ_FOREACH_SAFE (pool, &m->pools, entry, next) {
                bool adopt = pool->adopting;

                if (adopt)
                        pool->state = POOL_ACTIVE;
                pool_announce(pool);
                if (adopt && pool_adopt(pool, &error) < 0)
                        log_warning("Pool '%s': %s", pool->def->name, strempty(error.message));
                else if (autostart_is_due(pool))
                        pool_autostart(pool);
        }
        if (incomplete_load(m) < 0)
                log_warning("Cannot look for volumes that are incomplete");
        if (secrets_load(m) < 0 || volume_secrets_load(m) < 0)
                log_warning("Cannot look for secrets");
        if (data_jobs_recover(m) < 0)
                log_warning("Cannot look for jobs that were cut off");
}
