/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * libparted, loaded when a partition table is changed for the first time: what it does when it is loaded
 * (Debian's runs dmidecode, in a shell) is nothing for every worker to do at its start.
 */

#include <parted/parted.h>

typedef struct Parted {
        __typeof__(&ped_exception_set_handler) exception_set_handler;
        __typeof__(&ped_device_get) device_get;
        __typeof__(&ped_device_destroy) device_destroy;
        __typeof__(&ped_disk_type_get) disk_type_get;
        __typeof__(&ped_disk_probe) disk_probe;
        __typeof__(&ped_disk_new) disk_new;
        __typeof__(&ped_disk_new_fresh) disk_new_fresh;
        __typeof__(&ped_disk_destroy) disk_destroy;
        __typeof__(&ped_disk_set_flag) disk_set_flag;
        __typeof__(&ped_disk_commit_to_dev) disk_commit_to_dev;
        __typeof__(&ped_disk_add_partition) disk_add_partition;
        __typeof__(&ped_disk_get_partition) disk_get_partition;
        __typeof__(&ped_disk_delete_partition) disk_delete_partition;
        __typeof__(&ped_disk_set_partition_geom) disk_set_partition_geom;
        __typeof__(&ped_partition_new) partition_new;
        __typeof__(&ped_partition_destroy) partition_destroy;
        __typeof__(&ped_partition_set_flag) partition_set_flag;
        __typeof__(&ped_partition_set_name) partition_set_name;
        __typeof__(&ped_constraint_exact) constraint_exact;
        __typeof__(&ped_constraint_destroy) constraint_destroy;
        __typeof__(&ped_geometry_new) geometry_new;
        __typeof__(&ped_geometry_destroy) geometry_destroy;
} Parted;

/* Its functions; for the whole process. -ELIBACC: it cannot be loaded, and *ret_why says why. */
int parted_load(const Parted **ret, const char **ret_why);
