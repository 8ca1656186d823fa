/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/logical-kernel.h"

#include <libdevmapper.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define PREFIX "LVM-"
#define SECTOR 512U
/* Hexadecimal digits or not, LVM writes its UUIDs with a dash after these. */
#define UUID_LENGTH 32U
static const size_t uuid_dashes[] = {6, 10, 14, 18, 22, 26};

static size_t add_uuid(char *to, size_t n, const char *uuid)
{
        for (; *uuid && n + 1 < LOGICAL_KERNEL_UUID_SIZE; uuid++) {
                if (*uuid != '-')
                        to[n++] = *uuid;
        }
        return n;
}

void logical_kernel_uuid(const char *vg_uuid, const char *lv_uuid, const char *layer,
                         char ret[static LOGICAL_KERNEL_UUID_SIZE])
{
        size_t n = strlen(PREFIX);

        memcpy(ret, PREFIX, n);
        n = add_uuid(ret, n, vg_uuid);
        n = add_uuid(ret, n, lv_uuid);
        (void) snprintf(ret + n, LOGICAL_KERNEL_UUID_SIZE - n, "%s", layer);
}

/* Runs the task, unless it could not be set up, and destroys it. */
static int open_count(struct dm_task *task, bool ready)
{
        struct dm_info info = {0};

        if (!ready || !dm_task_run(task) || !dm_task_get_info(task, &info) || !info.exists)
                info.open_count = 0;
        if (task)
                dm_task_destroy(task);
        /* It keeps a descriptor open otherwise. */
        dm_lib_release();
        return info.open_count;
}

static bool set_devnum(struct dm_task *task, dev_t devnum)
{
        return dm_task_set_major(task, (int) major(devnum)) && dm_task_set_minor(task, (int) minor(devnum));
}

int logical_kernel_open_count(const char *vg_uuid, const char *lv_uuid)
{
        struct dm_task *task = dm_task_create(DM_DEVICE_INFO);
        char uuid[LOGICAL_KERNEL_UUID_SIZE];

        logical_kernel_uuid(vg_uuid, lv_uuid, "", uuid);
        return open_count(task, task && dm_task_set_uuid(task, uuid));
}

/* The volume's part of the device's UUID, if it is a volume of the group. */
static int take_uuid(const LogicalGroup *group, const char *device_uuid, LogicalLv *lv)
{
        char prefix[LOGICAL_KERNEL_UUID_SIZE], uuid[UUID_LENGTH + ELEMENTSOF(uuid_dashes) + 1];
        const char *own;
        size_t n = 0;

        logical_kernel_uuid(group->uuid, "", "", prefix);
        own = startswith(device_uuid, prefix);
        if (!own || strlen(own) != UUID_LENGTH)
                return -ENODATA;
        for (size_t i = 0, dash = 0; i < UUID_LENGTH; i++) {
                if (dash < ELEMENTSOF(uuid_dashes) && i == uuid_dashes[dash]) {
                        uuid[n++] = '-';
                        dash++;
                }
                uuid[n++] = own[i];
        }
        uuid[n] = 0;
        return free_and_strdup(&lv->uuid, uuid);
}

static const LogicalPv *find_pv(const LogicalGroup *group, dev_t devnum)
{
        for (size_t i = 0; i < group->n_pvs; i++) {
                if (group->pvs[i].device && group->pvs[i].devnum == devnum)
                        return &group->pvs[i];
        }
        return NULL;
}

/* "254:16 2048": where it lies, in sectors of the device. */
static int take_target(const LogicalGroup *group, const char *type, const char *params, uint64_t length,
                       LogicalLv *lv)
{
        unsigned device_major, device_minor;
        unsigned long long start;
        const LogicalPv *pv;

        if (!streq_ptr(type, "linear") ||
            sscanf(strempty(params), "%u:%u %llu", &device_major, &device_minor, &start) != 3)
                return -ENODATA;
        pv = find_pv(group, makedev(device_major, device_minor));
        if (!pv)
                return -ENODATA;
        lv->size += length * SECTOR;
        return logical_lv_add_extent(lv, pv->device, strlen(pv->device), start * SECTOR, length * SECTOR);
}

static int take_table(const LogicalGroup *group, struct dm_task *task, LogicalLv *lv)
{
        void *next = NULL;
        int r;

        do {
                uint64_t start, length;
                char *type, *params;

                next = dm_get_next_target(task, next, &start, &length, &type, &params);
                r = take_target(group, type, params, length, lv);
        } while (r >= 0 && next);
        return r;
}

static int take_device(const LogicalGroup *group, struct dm_task *task, LogicalLv *lv)
{
        struct dm_info info = {0};
        int r;

        if (!dm_task_run(task) || !dm_task_get_info(task, &info) || !info.exists || info.suspended ||
            !info.live_table)
                return -ENODATA;
        r = take_uuid(group, strempty(dm_task_get_uuid(task)), lv);
        if (r >= 0)
                r = take_table(group, task, lv);
        /* lvs(8), "lv_attr". */
        (void) snprintf(lv->attr, sizeof lv->attr, "-wi-a%c----", info.open_count > 0 ? 'o' : '-');
        lv->stored = lv->size;
        return r;
}

static int find_device(const PoolDef *pool, const char *name, dev_t *ret)
{
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (asprintf(&path, "%s/%s", pool->target_path, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
                return -ENODATA;
        *ret = st.st_rdev;
        return 0;
}

int logical_kernel_read_linear(const PoolDef *pool, const LogicalGroup *group, const char *name,
                               LogicalLv *ret)
{
        LogicalLv lv = {
                .name = strdup(name),
                .data_percent = LOGICAL_PERCENT_UNKNOWN,
                .metadata_percent = LOGICAL_PERCENT_UNKNOWN,
        };
        struct dm_task *task = NULL;
        dev_t devnum = 0;
        int r;

        r = lv.name ? find_device(pool, name, &devnum) : -ENOMEM;
        if (r >= 0) {
                task = dm_task_create(DM_DEVICE_TABLE);
                r = task && set_devnum(task, devnum) ? take_device(group, task, &lv) : -ENOMEM;
        }
        if (task)
                dm_task_destroy(task);
        dm_lib_release();
        if (r < 0) {
                logical_lv_done(&lv);
                return r;
        }
        *ret = lv;
        return 0;
}
