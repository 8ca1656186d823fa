/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/logical-member.h"

#include <blockdev/exec.h>
#include <json-c/json.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "backends/blockdev-lib.h"

/* Whether devnum is the device or a partition of it. */
static bool is_on(dev_t devnum, const BlockDevice *dev)
{
        _cleanup_fclose_ FILE *f = NULL;
        unsigned major_number, minor_number;
        char path[64];

        if (devnum == dev->devnum)
                return true;
        (void) snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(devnum), minor(devnum));
        if (access(path, F_OK) < 0)
                return false;
        (void) snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(devnum), minor(devnum));
        f = fopen(path, "re");
        return f && fscanf(f, "%u:%u", &major_number, &minor_number) == 2 &&
               makedev(major_number, minor_number) == dev->devnum;
}

/* The group that the device, or a partition of it, is a part of in lvm's report of all physical volumes;
 * NULL: of none. */
static const char *group_of(json_object *root, const BlockDevice *dev)
{
        json_object *reports, *pvs, *value;
        struct stat st;

        if (!json_object_object_get_ex(root, "report", &reports) ||
            !json_object_object_get_ex(json_object_array_get_idx(reports, 0), "pv", &pvs))
                return NULL;
        for (size_t i = 0; i < json_object_array_length(pvs); i++) {
                json_object *row = json_object_array_get_idx(pvs, i);

                if (!json_object_object_get_ex(row, "pv_name", &value) ||
                    stat(json_object_get_string(value), &st) < 0 || !is_on(st.st_rdev, dev))
                        continue;
                if (json_object_object_get_ex(row, "vg_name", &value) &&
                    !isempty(json_object_get_string(value)))
                        return json_object_get_string(value);
        }
        return NULL;
}

int logical_require_groupless(BackendContext *ctx, const BlockDevice *devices, size_t n)
{
        /* Those of other hosts, too, which lvm otherwise keeps silent about, and on devices that its hints
         * leave out. */
        static const char *const argv[] = {
                "lvm",  "pvs", "--nohints",       "--foreign", "--shared", "--reportformat",
                "json", "-o",  "pv_name,vg_name", NULL};
        g_autoptr(GError) gerror = NULL;
        g_autofree gchar *json = NULL;
        json_object *root;
        int r = 0;

        if (!bd_utils_exec_and_capture_output((const gchar **) argv, NULL, &json, &gerror))
                return error_set_blockdev(ctx, &gerror, "Cannot build pool '%s'", ctx->pool->name);
        root = json_tokener_parse(json);
        for (size_t i = 0; i < n && r >= 0; i++) {
                const char *vg = group_of(root, &devices[i]);

                if (vg)
                        r = error_setf(
                                ctx->error, STORAGE_ERROR_IN_USE,
                                "Cannot build pool '%s': %s is a part of the volume group %s; take it "
                                "out of that (vgreduce, pvremove) or remove that (vgremove) first",
                                ctx->pool->name, devices[i].path, vg);
        }
        json_object_put(root);
        return r;
}
