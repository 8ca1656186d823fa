/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/paths.h"

#include <inttypes.h>

#include "service/job.h"

static char *join(const char *prefix, const char *id)
{
        char *path;

        return asprintf(&path, "%s/%s", prefix, id) < 0 ? NULL : path;
}

char *path_of_pool(const Pool *pool)
{
        return join(BUS_POOLS, pool->object_id);
}

char *path_of_volumes(const Pool *pool)
{
        return join(BUS_VOLUMES, pool->object_id);
}

char *path_of_volume(const Pool *pool, const char *name)
{
        _cleanup_free_ char *prefix = path_of_volumes(pool);
        char *path;

        return prefix && sd_bus_path_encode(prefix, name, &path) >= 0 ? path : NULL;
}

char *path_of_job(const Job *job)
{
        char *path;

        return asprintf(&path, BUS_JOBS "/%" PRIu64, job->id) < 0 ? NULL : path;
}

Pool *pool_of_path(Manager *m, const char *path)
{
        const char *id = startswith(path, BUS_POOLS "/");
        Pool *pool = id ? manager_find_by_object_id(m, id) : NULL;

        return pool && pool->announced ? pool : NULL;
}

Pool *pool_of_volumes_path(Manager *m, const char *path)
{
        const char *id = startswith(path, BUS_VOLUMES "/");
        char buf[37];
        size_t n;
        Pool *pool;

        if (!id)
                return NULL;
        n = strcspn(id, "/");
        if (n >= sizeof buf)
                return NULL;
        memcpy(buf, id, n);
        buf[n] = 0;
        pool = manager_find_by_object_id(m, buf);
        return pool && pool->announced ? pool : NULL;
}

Volume *volume_of_path(Manager *m, const char *path)
{
        Pool *pool = pool_of_volumes_path(m, path);
        _cleanup_free_ char *prefix = NULL, *name = NULL;

        if (!pool)
                return NULL;
        prefix = path_of_volumes(pool);
        if (!prefix || sd_bus_path_decode(path, prefix, &name) <= 0)
                return NULL;
        return volume_find(pool, name);
}

Job *job_of_path(Manager *m, const char *path)
{
        const char *id = startswith(path, BUS_JOBS "/");
        uint64_t n;
        char *end;

        if (!id || id[0] < '0' || id[0] > '9')
                return NULL;
        errno = 0;
        n = strtoull(id, &end, 10);
        return errno == 0 && *end == 0 ? job_find(m, n) : NULL;
}
