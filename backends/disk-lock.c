/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Changing a disk beside udev, which watches for descriptors that were open for writing to be closed. It
 * then has the kernel drop all partitions and read them again if none of them is in use, unless somebody has
 * a lock (flock) on the disk: see "Locking Block Device Access" of systemd's documentation.
 */

#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include "backends/disk-kernel.h"

#define LOCK_USEC (10 * USEC_PER_SEC)
#define LOCK_STEP_USEC (10 * USEC_PER_MSEC)
/* An event comes at once where udev is not kept from it. */
#define EVENT_USEC (10 * USEC_PER_SEC)
#define KERNEL_GROUP 1U
#define EVENT_MAX 8192U

/*
 * What the kernel broadcasts when udev, having heard of the closing, triggers a "change" event. Nothing if
 * udev does not watch the disk.
 */
static int open_events(const BlockDevice *device)
{
        struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
        char watch[64];
        int fd;

        (void) snprintf(watch, sizeof(watch), "/run/udev/watch/b%u:%u", major(device->devnum),
                        minor(device->devnum));
        if (access("/run/udev/control", F_OK) < 0 ||
            faccessat(AT_FDCWD, watch, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return -EBADF;
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
        if (fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                fd = safe_close(fd);
        return fd;
}

int disk_lock(BackendContext *ctx, const BlockDevice *device, DiskLock *ret)
{
        _cleanup_close_ int fd = open(device->node, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        uint64_t end = now_monotonic() + LOCK_USEC;

        if (fd < 0)
                return error_set_errno(ctx->error, errno, "Cannot open the device %s", device->path);
        /* udev is done with what was before: else the events to come are not told from those. */
        block_device_settle(device);
        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return error_set_errno(ctx->error, errno, "Cannot lock the device %s", device->path);
                if (now_monotonic() > end)
                        return error_setf(ctx->error, STORAGE_ERROR_BUSY,
                                          "Another program keeps the device %s locked; try again later",
                                          device->path);
                (void) usleep(LOCK_STEP_USEC);
        }
        *ret = (DiskLock){.device = device, .lock_fd = TAKE_FD(fd), .events_fd = open_events(device)};
        return 0;
}

static bool has_word(const char *message, size_t n, const char *word)
{
        for (const char *s = message, *end = message + n; s < end; s += strlen(s) + 1) {
                if (streq(s, word))
                        return true;
        }
        return false;
}

void disk_lock_written(DiskLock *lock)
{
        uint64_t end = now_monotonic() + EVENT_USEC;
        char message[EVENT_MAX + 1], word[256];

        (void) snprintf(word, sizeof(word), "DEVNAME=%s", startswith(lock->device->node, "/dev/") ?: "");
        while (lock->events_fd >= 0) {
                struct pollfd p = {.fd = lock->events_fd, .events = POLLIN};
                uint64_t now = now_monotonic();
                ssize_t n;

                if (now >= end || poll(&p, 1, (int) ((end - now) / USEC_PER_MSEC) + 1) == 0)
                        return;
                n = recv(lock->events_fd, message, EVENT_MAX, 0);
                if (n < 0)
                        continue;
                message[n] = 0;
                if (has_word(message, (size_t) n, "ACTION=change") && has_word(message, (size_t) n, word))
                        return;
        }
}

bool disk_lock_now(const BlockDevice *device, DiskLock *ret)
{
        _cleanup_close_ int fd = open(device->node, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
                return false;
        *ret = (DiskLock){.device = device, .lock_fd = TAKE_FD(fd), .events_fd = -EBADF};
        return true;
}

void disk_unlock(DiskLock *lock)
{
        lock->events_fd = safe_close(lock->events_fd);
        lock->lock_fd = safe_close(lock->lock_fd);
}
