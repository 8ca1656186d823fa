/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* qemu-img: what it is called with, and the call. */

#include "backends/image-plan.h"

/* The image's descriptor has this number in the child, so that its path is always the same. */
#define QEMU_IMG_FD 3
#define QEMU_IMG_TARGET "/proc/self/fd/3"

/*
 * The argv that makes the image of a plan (its format, sizes, backing store) with def's features, in target.
 * The backing store is recorded, not opened. A NULL-terminated list owned by the caller. 0 or -ENOMEM.
 */
int qemu_img_create_argv(const ImagePlan *plan, const VolumeDef *def, const char *target, char ***ret);
/*
 * The argv that makes an image another size. The image's backing store is not opened, and its locks are not
 * taken if unlocked is set. 0 or -ENOMEM.
 */
int qemu_img_resize_argv(const char *qemu_format, uint64_t capacity, bool shrink, bool unlocked,
                         char ***ret);

/*
 * Runs it with fd as QEMU_IMG_FD, bounded in memory and processor time, until it ends or ctx is cancelled or
 * deadline_usec (0: none) are over; then it is killed. It is in the worker's process group. total: bytes
 * that fd will have in the end, for progress; 0: not told. What it complains of becomes the error. what:
 * "make volume 'x'".
 */
int qemu_img_run(BackendContext *ctx, char **argv, int fd, uint64_t total, uint64_t deadline_usec,
                 const char *what);
