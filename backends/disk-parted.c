/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/disk-parted.h"

#include <dlfcn.h>

#include "common/util.h"

#define LIBRARY "libparted.so.2"
#define LINE_SIZE 120U

static const struct {
        const char *name;
        size_t offset;
} symbols[] = {
        {"ped_exception_set_handler", offsetof(Parted, exception_set_handler)},
        {"ped_device_get", offsetof(Parted, device_get)},
        {"ped_device_destroy", offsetof(Parted, device_destroy)},
        {"ped_disk_type_get", offsetof(Parted, disk_type_get)},
        {"ped_disk_probe", offsetof(Parted, disk_probe)},
        {"ped_disk_new", offsetof(Parted, disk_new)},
        {"ped_disk_new_fresh", offsetof(Parted, disk_new_fresh)},
        {"ped_disk_destroy", offsetof(Parted, disk_destroy)},
        {"ped_disk_set_flag", offsetof(Parted, disk_set_flag)},
        {"ped_disk_commit_to_dev", offsetof(Parted, disk_commit_to_dev)},
        {"ped_disk_add_partition", offsetof(Parted, disk_add_partition)},
        {"ped_disk_get_partition", offsetof(Parted, disk_get_partition)},
        {"ped_disk_delete_partition", offsetof(Parted, disk_delete_partition)},
        {"ped_disk_set_partition_geom", offsetof(Parted, disk_set_partition_geom)},
        {"ped_partition_new", offsetof(Parted, partition_new)},
        {"ped_partition_destroy", offsetof(Parted, partition_destroy)},
        {"ped_partition_set_flag", offsetof(Parted, partition_set_flag)},
        {"ped_partition_set_name", offsetof(Parted, partition_set_name)},
        {"ped_constraint_exact", offsetof(Parted, constraint_exact)},
        {"ped_constraint_destroy", offsetof(Parted, constraint_destroy)},
        {"ped_geometry_new", offsetof(Parted, geometry_new)},
        {"ped_geometry_destroy", offsetof(Parted, geometry_destroy)},
};

/*
 * Debian's libparted asks dmidecode for the machine's maker and, if that says nothing, looks for the end of
 * a line in the 120 bytes that getline() has allocated but not written, and behind them, where it would
 * write. malloc() hands out again what was freed last: that has its end in it then.
 */
static void make_harmless(void)
{
        void *l[8];

        for (size_t i = 0; i < ELEMENTSOF(l); i++)
                l[i] = calloc(1, LINE_SIZE);
        for (size_t i = 0; i < ELEMENTSOF(l); i++)
                free(l[i]);
}

int parted_load(const Parted **ret, const char **ret_why)
{
        static Parted parted;
        static void *library;

        if (!library) {
                void *handle;

                make_harmless();
                handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
                for (size_t i = 0; handle && i < ELEMENTSOF(symbols); i++) {
                        void *symbol = dlsym(handle, symbols[i].name);

                        if (!symbol) {
                                *ret_why = dlerror();
                                (void) dlclose(handle);
                                return -ELIBACC;
                        }
                        memcpy((char *) &parted + symbols[i].offset, &symbol, sizeof(symbol));
                }
                if (!handle) {
                        *ret_why = dlerror();
                        return -ELIBACC;
                }
                library = handle;
        }
        *ret = &parted;
        return 0;
}
