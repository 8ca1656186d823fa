/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is to be made of a volume's definition: the same in the worker that reserves it and the one that
 * fills it. */

#include "backends/backend.h"
#include "backends/image-probe.h"

typedef struct ImagePlan {
        ImageFormat format;
        uint64_t capacity;
        uint64_t fill;               /* bytes that get storage at once: raw only; else 0 or capacity */
        Preallocation preallocation; /* never UNSET */
        bool long_work;              /* needs volume_fill() */
        bool tool;                   /* made by qemu-img */
        bool encrypted;              /* with LUKS and the context's secret */
        char *backing_path;          /* as it is to be recorded */
        char *backing_format;        /* QEMU's name */
} ImagePlan;

/*
 * Checks what def asks for against what can be made, and looks at the backing store. dir_fd: the pool's
 * folder. *ret is freed with image_plan_done().
 */
int image_plan_make(BackendContext *ctx, int dir_fd, const VolumeDef *def, Preallocation p, ImagePlan *ret);
void image_plan_done(ImagePlan *plan);

/*
 * The contents of an image file named by a header or a caller: format and capacity. path is relative to
 * dir_fd or absolute. Opens nothing but regular files and block devices. *ret_whole: it has its data in itself, unlike a VMDK
 * that names others (of other formats that is not looked at). 0 or negative errno.
 */
int image_probe_path(int dir_fd, const char *path, ImageFormat *ret_format, uint64_t *ret_capacity,
                     uint64_t *ret_size, bool *ret_whole);

/* QEMU's name for a format; NULL if it cannot read it. */
const char *image_format_to_qemu(ImageFormat format);
