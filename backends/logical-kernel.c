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

/* "vg--a-lv": dashes in names are doubled. What follows the group's name; NULL: it is another one's. */
static const char *after_group(const char *device, const char *vg)
{
        for (; *vg; vg++) {
                if (*device++ != *vg || (*vg == '-' && *device++ != '-'))
                        return NULL;
        }
        return device[0] == '-' && device[1] != '-' ? device + 1 : NULL;
}

static int add_volume(LogicalActive *a, const char *doubled)
{
        _cleanup_free_ char *name = strdup(doubled);
        size_t n = 0;

        if (!name)
                return -ENOMEM;
        for (const char *c = doubled; *c; c += c[0] == '-' && c[1] == '-' ? 2 : 1)
                name[n++] = *c;
        name[n] = 0;
        return strv_extend(&a->volumes, name);
}

static int add_active(LogicalActive *a, const char *device, const char *vg)
{
        const char *doubled = after_group(device, vg), *uuid;
        struct dm_task *task = doubled ? dm_task_create(DM_DEVICE_INFO) : NULL;
        struct dm_info info = {0};
        int r = 0;

        if (!doubled)
                return 0;
        if (!task)
                return -ENOMEM;
        if (dm_task_set_name(task, device) && dm_task_run(task) && dm_task_get_info(task, &info) &&
            info.exists && (uuid = startswith(strempty(dm_task_get_uuid(task)), PREFIX))) {
                /* Layers have their kind behind it, with a dash. */
                if (strchr(uuid, '-'))
                        a->others = true;
                else {
                        a->open |= info.open_count > 0;
                        r = add_volume(a, doubled);
                }
        }
        dm_task_destroy(task);
        return r;
}

void logical_active_done(LogicalActive *a)
{
        strv_free(a->volumes);
        *a = (LogicalActive){0};
}

int logical_kernel_list_active(const char *vg, LogicalActive *ret)
{
        struct dm_task *task = dm_task_create(DM_DEVICE_LIST);
        LogicalActive active = {0};
        struct dm_names *names;
        int r = task ? 0 : -ENOMEM;

        if (task && (!dm_task_run(task) || !(names = dm_task_get_names(task))))
                r = -EIO;
        /* The device number 0 is the end of an empty list. */
        for (bool more = r >= 0 && names->dev; more && r >= 0;
             names = (struct dm_names *) ((char *) names + names->next)) {
                more = names->next > 0;
                r = add_active(&active, names->name, vg);
        }
        if (task)
                dm_task_destroy(task);
        dm_lib_release();
        if (r < 0)
                logical_active_done(&active);
        else
                *ret = active;
        return r;
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
static int take_linear(const LogicalGroup *group, const char *type, const char *params, uint64_t length,
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
        lv->stored += length * SECTOR;
        return logical_lv_add_extent(lv, pv->device, strlen(pv->device), start * SECTOR, length * SECTOR);
}

static int take_linears(const LogicalGroup *group, struct dm_task *task, LogicalLv *lv)
{
        void *next = NULL;
        int r;

        do {
                uint64_t start, length;
                char *type, *params;

                next = dm_get_next_target(task, next, &start, &length, &type, &params);
                r = take_linear(group, type, params, length, lv);
        } while (r >= 0 && next);
        return r;
}

/* Asks for the table or the status (type) of a device, which must be in working order. */
static int run_task(int type, dev_t devnum, struct dm_task **ret, struct dm_info *ret_info)
{
        struct dm_task *task = dm_task_create(type);

        if (!task)
                return -ENOMEM;
        /* A flush would write metadata. */
        if (set_devnum(task, devnum) && dm_task_no_flush(task) && dm_task_run(task) &&
            dm_task_get_info(task, ret_info) && ret_info->exists && !ret_info->suspended &&
            ret_info->live_table) {
                *ret = task;
                return 0;
        }
        dm_task_destroy(task);
        return -ENODATA;
}

/* As lvm counts it: what is not whole is neither nothing nor all. */
static uint32_t percent_of(uint64_t used, uint64_t total)
{
        uint64_t percent = total > 0 ? (used * 10000 + total / 2) / total : 0;

        if (used == 0)
                return 0;
        if (used >= total)
                return 10000;
        return percent == 0 ? 1 : percent == 10000 ? 9999 : (uint32_t) percent;
}

/* "254:3 254:4 P 8": its origin, and the device with the room for what differs. */
static int take_snapshot_room(const LogicalGroup *group, const char *params, LogicalLv *lv)
{
        unsigned device_major, device_minor;
        struct dm_task *task;
        struct dm_info info;
        int r;

        if (sscanf(strempty(params), "%*u:%*u %u:%u", &device_major, &device_minor) != 2)
                return -ENODATA;
        r = run_task(DM_DEVICE_TABLE, makedev(device_major, device_minor), &task, &info);
        if (r < 0)
                return r;
        r = take_linears(group, task, lv);
        dm_task_destroy(task);
        return r;
}

/* "16/32768 16" of a snapshot: sectors that are used, of how many, and for the list; "1024 2047" of a thin
 * volume: sectors that it has. Words if something is wrong with it. */
static int take_status(const char *params, uint64_t length, LogicalLv *lv)
{
        unsigned long long used, total, list;

        if (lv->thick_snapshot) {
                if (sscanf(strempty(params), "%llu/%llu %llu", &used, &total, &list) != 3)
                        return -ENODATA;
                lv->data_percent = used == list ? 0 : percent_of(used, total);
                return 0;
        }
        if (sscanf(strempty(params), "%llu", &used) != 1)
                return -ENODATA;
        lv->data_percent = percent_of(used, length);
        return 0;
}

static int read_status(dev_t devnum, LogicalLv *lv)
{
        struct dm_task *task;
        struct dm_info info;
        uint64_t start, length;
        char *type, *params;
        int r;

        r = run_task(DM_DEVICE_STATUS, devnum, &task, &info);
        if (r < 0)
                return r;
        (void) dm_get_next_target(task, NULL, &start, &length, &type, &params);
        r = take_status(params, length, lv);
        dm_task_destroy(task);
        return r;
}

static int take_table(const LogicalGroup *group, struct dm_task *task, dev_t devnum, LogicalLv *lv)
{
        uint64_t start, length;
        char *type, *params;
        int r = 0;

        (void) dm_get_next_target(task, NULL, &start, &length, &type, &params);
        if (streq_ptr(type, "snapshot")) {
                lv->thick_snapshot = true;
                lv->size = length * SECTOR;
                r = take_snapshot_room(group, params, lv);
        } else if (streq_ptr(type, "thin"))
                lv->size = lv->stored = length * SECTOR;
        else {
                r = take_linears(group, task, lv);
                lv->size = lv->stored;
                return r;
        }
        return r < 0 ? r : read_status(devnum, lv);
}

static int read_device(const LogicalGroup *group, dev_t devnum, LogicalLv *lv)
{
        struct dm_info info;
        struct dm_task *task;
        int r;

        r = run_task(DM_DEVICE_TABLE, devnum, &task, &info);
        if (r < 0)
                return r;
        r = take_uuid(group, strempty(dm_task_get_uuid(task)), lv);
        if (r >= 0)
                r = take_table(group, task, devnum, lv);
        /* lvs(8), "lv_attr". */
        (void) snprintf(lv->attr, sizeof lv->attr, "-wi-a%c----", info.open_count > 0 ? 'o' : '-');
        dm_task_destroy(task);
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

int logical_kernel_read(const PoolDef *pool, const LogicalGroup *group, const char *name, LogicalLv *ret)
{
        LogicalLv lv = {
                .name = strdup(name),
                .data_percent = LOGICAL_PERCENT_UNKNOWN,
                .metadata_percent = LOGICAL_PERCENT_UNKNOWN,
        };
        dev_t devnum = 0;
        int r;

        r = lv.name ? find_device(pool, name, &devnum) : -ENOMEM;
        if (r >= 0)
                r = read_device(group, devnum, &lv);
        dm_lib_release();
        if (r < 0) {
                logical_lv_done(&lv);
                return r;
        }
        *ret = lv;
        return 0;
}
