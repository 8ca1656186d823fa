/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/thin-room.h"

#include <inttypes.h>
#include <libdevmapper.h>
#include <sys/sysmacros.h>

#define SECTOR 512U

typedef struct Pool {
        dev_t devnum;
        uint64_t block; /* sectors */
        uint64_t used, total;
} Pool;

/* Asks for the only target of a device, if it is of that type. The strings go with *ret. */
static int ask(int request, dev_t devnum, const char *type, struct dm_task **ret,
               const char **ret_parameters, uint64_t *ret_length)
{
        struct dm_task *task = dm_task_create(request);
        char *found = NULL, *parameters = NULL;
        uint64_t start, length = 0;

        /* To answer, a pool would write first what it has in memory. */
        if (!task || !dm_task_no_flush(task) || !dm_task_set_major(task, (int) major(devnum)) ||
            !dm_task_set_minor(task, (int) minor(devnum)) || !dm_task_run(task)) {
                if (task)
                        dm_task_destroy(task);
                return -EIO;
        }
        (void) dm_get_next_target(task, NULL, &start, &length, &found, &parameters);
        if (!found || !streq(found, type)) {
                dm_task_destroy(task);
                return -EMEDIUMTYPE;
        }
        *ret = task;
        *ret_parameters = strempty(parameters);
        *ret_length = length;
        return 0;
}

/* "254:3 1": its pool. */
static int read_pool_of(dev_t devnum, dev_t *ret_pool, uint64_t *ret_length)
{
        unsigned pool_major, pool_minor;
        struct dm_task *task = NULL;
        const char *parameters;
        int r;

        r = ask(DM_DEVICE_TABLE, devnum, "thin", &task, &parameters, ret_length);
        if (r < 0)
                return r;
        if (sscanf(parameters, "%u:%u ", &pool_major, &pool_minor) == 2)
                *ret_pool = makedev(pool_major, pool_minor);
        else
                r = -EIO;
        dm_task_destroy(task);
        return r;
}

/* "253952 262143": how many sectors it has of its pool. One that has failed tells no number. */
static int read_mapped(dev_t devnum, uint64_t *ret)
{
        struct dm_task *task = NULL;
        const char *parameters;
        uint64_t length;
        int r;

        r = ask(DM_DEVICE_STATUS, devnum, "thin", &task, &parameters, &length);
        if (r < 0)
                return r;
        r = sscanf(parameters, "%" SCNu64, ret) == 1 ? 0 : -EIO;
        dm_task_destroy(task);
        return r;
}

static int read_pool(dev_t devnum, Pool *ret)
{
        struct dm_task *task = NULL;
        const char *parameters;
        uint64_t length;
        int r;

        *ret = (Pool){.devnum = devnum};
        /* "254:0 254:1 128 …": the devices of its metadata and data, the size of a block. */
        r = ask(DM_DEVICE_TABLE, devnum, "thin-pool", &task, &parameters, &length);
        if (r < 0)
                return r;
        if (sscanf(parameters, "%*s %*s %" SCNu64, &ret->block) != 1 || ret->block == 0)
                r = -EIO;
        dm_task_destroy(task);
        if (r < 0)
                return r;
        /* "1 12/1024 31/512 …": its transaction, blocks of metadata, blocks of data. */
        r = ask(DM_DEVICE_STATUS, devnum, "thin-pool", &task, &parameters, &length);
        if (r < 0)
                return r;
        if (sscanf(parameters, "%*u %*u/%*u %" SCNu64 "/%" SCNu64, &ret->used, &ret->total) != 2 ||
            ret->used > ret->total)
                r = -EIO;
        dm_task_destroy(task);
        return r;
}

/* Blocks that the active thin volumes of the pool have; a block that is shared counts for each of them. */
static int count_mapped(const Pool *pool, uint64_t *ret)
{
        struct dm_task *task = dm_task_create(DM_DEVICE_LIST);
        struct dm_names *name = task && dm_task_run(task) ? dm_task_get_names(task) : NULL;
        int r = name ? 0 : -EIO;
        bool more = name && name->dev != 0;

        *ret = 0;
        for (; r >= 0 && more; name = (struct dm_names *) ((char *) name + name->next)) {
                uint64_t length, mapped = 0;
                dev_t of;

                if (read_pool_of(name->dev, &of, &length) >= 0 && of == pool->devnum)
                        r = read_mapped(name->dev, &mapped);
                *ret += mapped / pool->block;
                more = name->next != 0;
        }
        if (task)
                dm_task_destroy(task);
        return r;
}

bool thin_volume(dev_t devnum)
{
        uint64_t length;
        dev_t pool;
        bool thin = read_pool_of(devnum, &pool, &length) >= 0;

        /* It keeps a descriptor open otherwise. */
        dm_lib_release();
        return thin;
}

static int read_room(dev_t devnum, ThinRoom *ret)
{
        uint64_t length, mapped = 0, of_all = 0, blocks;
        dev_t pool_devnum;
        Pool pool;
        int r;

        r = read_pool_of(devnum, &pool_devnum, &length);
        if (r >= 0)
                r = read_pool(pool_devnum, &pool);
        if (r >= 0)
                r = read_mapped(devnum, &mapped);
        if (r >= 0)
                r = count_mapped(&pool, &of_all);
        if (r < 0)
                return r;
        /* Whom a block belongs to is only in the pool's metadata. Where the sum is what the pool has given,
         * each has one owner. */
        ret->shared = of_all != pool.used;
        blocks = (length + pool.block - 1) / pool.block;
        mapped = ret->shared ? 0 : mapped / pool.block;
        ret->needed = (blocks > mapped ? blocks - mapped : 0) * pool.block * SECTOR;
        ret->free = (pool.total - pool.used) * pool.block * SECTOR;
        return 0;
}

int thin_room(dev_t devnum, ThinRoom *ret)
{
        int r = read_room(devnum, ret);

        dm_lib_release();
        return r;
}
