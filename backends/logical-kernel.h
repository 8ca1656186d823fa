/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Logical volumes as the kernel has them, asked through libdevmapper: that takes no process, as lvm does,
 * and no lock. Names of LVM's devices: lvm(8) and dmsetup(8), "LVM-" and both UUIDs make a device's UUID.
 */

#include "backends/logical-report.h"

/* Of device-mapper, with its end. */
#define LOGICAL_KERNEL_UUID_SIZE 129U

/* The UUID of the volume's device. layer: "", or "-tpool". */
void logical_kernel_uuid(const char *vg_uuid, const char *lv_uuid, const char *layer,
                         char ret[static LOGICAL_KERNEL_UUID_SIZE]);

/* How often the volume's device is open; 0 if it is not active, or not to be found out. */
int logical_kernel_open_count(const char *vg_uuid, const char *lv_uuid);

/* What is active of a group, by the names that its devices have. */
typedef struct LogicalActive {
        char **volumes; /* those that people see, and parts of arrays */
        bool others;    /* and layers, as those of a thin pool or a snapshot */
        bool open;      /* somebody has one of the volumes open */
} LogicalActive;

void logical_active_done(LogicalActive *a);
/* Fills in the empty *ret. 0, or a negative errno: it cannot be found out. */
int logical_kernel_list_active(const char *vg, LogicalActive *ret);

/*
 * The volume of that name in the group if it is active, well, and lies on the group's devices alone without
 * a layer between, is a thick snapshot whose room does, or is thin: lv->name, uuid, sizes, how much of it is
 * used, extents and whether it is open. Names of others (origin, pool) and the time are not known here; all
 * else is as it is of a new one. Freed with logical_lv_done(). -ENODATA: it is another kind of volume or
 * cannot be seen, so lvm must be asked; -ENOMEM.
 */
int logical_kernel_read(const PoolDef *pool, const LogicalGroup *group, const char *name, LogicalLv *ret);
