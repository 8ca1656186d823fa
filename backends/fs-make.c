/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/fs-make.h"

#include <blockdev/exec.h>
#include <blockdev/fs.h>

#include "backends/blockdev-lib.h"

#define ARGUMENTS_MAX 12U

typedef gboolean (*MakeFunction)(const gchar *device, const BDExtraArg **extra, GError **error);

typedef struct Maker {
        const char *format;
        const char *type; /* as the kernel calls it; NULL: as the format */
        const char *tool; /* NULL: there is none */
        MakeFunction make;
        const char *arguments[ARGUMENTS_MAX]; /* of the tool, where libblockdev cannot make it */
        const char *force;                    /* one more argument, to overwrite */
        const char *why_not;                  /* there is no tool */
} Maker;

/* One node that is alone: a file system of a cluster without the cluster. */
static const Maker makers[] = {
        {.format = "ext2", .tool = "mke2fs", .make = bd_fs_ext2_mkfs, .force = "-F"},
        {.format = "ext3", .tool = "mke2fs", .make = bd_fs_ext3_mkfs, .force = "-F"},
        {.format = "ext4", .tool = "mke2fs", .make = bd_fs_ext4_mkfs, .force = "-F"},
        {.format = "xfs", .tool = "mkfs.xfs", .make = bd_fs_xfs_mkfs, .force = "-f"},
        {.format = "vfat", .tool = "mkfs.vfat", .make = bd_fs_vfat_mkfs, .force = "-I"},
        {.format = "btrfs", .tool = "mkfs.btrfs", .arguments = {"-q"}, .force = "-f"},
        {.format = "udf", .tool = "mkudffs", .arguments = {"--utf8", "--media-type=hd"}},
        {.format = "hfs+", .type = "hfsplus", .tool = "mkfs.hfsplus"},
        {.format = "ocfs2",
         .tool = "mkfs.ocfs2",
         .arguments = {"-q", "-M", "local", "-N", "1"},
         .force = "-F"},
        {.format = "gfs2", .tool = "mkfs.gfs2", .arguments = {"-q", "-O", "-p", "lock_nolock", "-j", "1"}},
        {.format = "gfs", .tool = "mkfs.gfs"},
        {.format = "ufs", .tool = "mkfs.ufs"},
        {.format = "iso9660", .why_not = "it is read-only; what is on such media is written as a whole"},
        {.format = "vmfs", .why_not = "only VMware's own systems can make it"},
};

static const Maker *find_maker(const char *format)
{
        for (size_t i = 0; i < ELEMENTSOF(makers); i++) {
                if (streq(makers[i].format, format))
                        return makers + i;
        }
        return NULL;
}

const char *fs_type(const char *format)
{
        const Maker *m = find_maker(format);

        return m ? m->type ?: m->format : NULL;
}

int fs_require_makeable(BackendContext *ctx)
{
        const char *format = ctx->pool->source.format, *name = ctx->pool->name;
        const Maker *m = find_maker(format);

        if (!m)
                return error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Cannot build pool '%s': its format is '%s', which does not say what file "
                                  "system to make; choose one, such as ext4, xfs or btrfs",
                                  name, format);
        if (m->why_not)
                return error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                                  "Cannot build pool '%s': no file system of the format %s can be made: %s",
                                  name, format, m->why_not);
        if (bd_utils_check_util_version(m->tool, NULL, NULL, NULL, NULL))
                return 0;
        return error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                          "Cannot build pool '%s': the tool %s, which makes file systems of the format %s, "
                          "is not installed",
                          name, m->tool, format);
}

static int make_by_library(BackendContext *ctx, const Maker *m, const BlockDevice *dev, bool overwrite)
{
        BDExtraArg force = {.opt = (gchar *) m->force};
        const BDExtraArg *extra[] = {overwrite ? &force : NULL, NULL};
        GError *gerror = NULL;
        int r;

        r = blockdev_need(ctx, BD_PLUGIN_FS);
        if (r < 0 || m->make(dev->node, extra, &gerror))
                return r;
        return error_set_blockdev(ctx, &gerror,
                                  "Cannot build pool '%s': no %s file system could be made on %s",
                                  ctx->pool->name, m->format, dev->path);
}

static int make_by_tool(BackendContext *ctx, const Maker *m, const BlockDevice *dev, bool overwrite)
{
        const char *argv[ARGUMENTS_MAX + 4] = {m->tool};
        GError *gerror = NULL;
        size_t n = 1;

        while (n <= ARGUMENTS_MAX && m->arguments[n - 1]) {
                argv[n] = m->arguments[n - 1];
                n++;
        }
        if (overwrite && m->force)
                argv[n++] = m->force;
        argv[n] = dev->node;
        if (bd_utils_exec_and_report_error(argv, NULL, &gerror))
                return 0;
        return error_set_blockdev(ctx, &gerror,
                                  "Cannot build pool '%s': no %s file system could be made on %s",
                                  ctx->pool->name, m->format, dev->path);
}

int fs_make(BackendContext *ctx, const BlockDevice *dev, bool overwrite)
{
        const Maker *m = find_maker(ctx->pool->source.format);
        int r;

        /* What was there must not be recognised beside the new one; what has come by now must stay. */
        r = block_device_wipe(ctx, dev, overwrite);
        if (r < 0)
                return r;
        return m->make ? make_by_library(ctx, m, dev, overwrite) : make_by_tool(ctx, m, dev, overwrite);
}
