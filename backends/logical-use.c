/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who has a logical volume open. */

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "backends/block-device.h"
#include "backends/logical.h"

#define PROCESS_NAME_MAX 64U

/* Whether the process has the device open; the folder is its /proc/PID/fd. */
static bool has_open(int proc_fd, const char *pid, dev_t devnum)
{
        char path[512];
        struct dirent *entry;
        bool found = false;
        DIR *dir;
        int fd;

        (void) snprintf(path, sizeof path, "%s/fd", pid);
        fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd >= 0 ? fdopendir(fd) : NULL;
        if (!dir) {
                safe_close(fd);
                return false;
        }
        while (!found && (entry = readdir(dir))) {
                struct stat st;

                /* The links of /proc lead to what is open, by whatever name, in whatever namespace. */
                found = fstatat(dirfd(dir), entry->d_name, &st, 0) >= 0 && S_ISBLK(st.st_mode) &&
                        st.st_rdev == devnum;
        }
        (void) closedir(dir);
        return found;
}

static int describe_process(int proc_fd, const char *pid, char **ret)
{
        char path[512], name[PROCESS_NAME_MAX] = "";
        _cleanup_free_ char *valid = NULL;
        ssize_t n;
        int fd, r;

        (void) snprintf(path, sizeof path, "%s/comm", pid);
        fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
        n = fd >= 0 ? read(fd, name, sizeof(name) - 1) : -1;
        safe_close(fd);
        name[n > 0 ? n : 0] = 0;
        name[strcspn(name, "\n")] = 0;
        r = utf8_make_valid(name, strlen(name), &valid);
        return r < 0 ? r : asprintf(ret, "opened by process %s (%s)", pid, valid) < 0 ? -ENOMEM : 0;
}

/* The first process that has it open. */
static int describe_openers(dev_t devnum, char **ret)
{
        _cleanup_close_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = opendir("/proc");
        struct dirent *entry;
        int r = 0;

        *ret = NULL;
        if (!dir)
                return 0;
        while (r >= 0 && !*ret && (entry = readdir(dir))) {
                if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
                    has_open(proc_fd, entry->d_name, devnum))
                        r = describe_process(proc_fd, entry->d_name, ret);
        }
        (void) closedir(dir);
        return r;
}

int logical_describe_use(BackendContext *ctx, const char *name, char **ret)
{
        _cleanup_(block_device_done) BlockDevice dev = {0};
        _cleanup_free_ char *path = NULL, *words = NULL;
        int r;

        if (asprintf(&path, "%s/%s", ctx->pool->target_path, name) < 0) {
                path = NULL;
                return error_set_errno(ctx->error, ENOMEM, "Cannot find out who uses volume '%s'", name);
        }
        r = block_device_find(ctx, path, &dev);
        if (r >= 0)
                r = block_device_describe_use(ctx, &dev, &words);
        if (r < 0)
                return r;
        if (!words) {
                r = describe_openers(dev.devnum, &words);
                if (r < 0)
                        return error_set_errno(ctx->error, r, "Cannot find out who uses volume '%s'", name);
        }
        *ret = TAKE_PTR(words);
        return 0;
}

int logical_require_closed(BackendContext *ctx, const LogicalLv *lv, const char *verb)
{
        _cleanup_free_ char *words = NULL;

        if (!logical_lv_is_open(lv))
                return 0;
        if (logical_describe_use(ctx, lv->name, &words) < 0 && ctx->error)
                sd_bus_error_free(ctx->error);
        return error_setf(ctx->error, STORAGE_ERROR_IN_USE, "Volume '%s' of pool '%s' %s: it is in use: %s",
                          lv->name, ctx->pool->name, verb, words ?: "somebody has it open");
}
