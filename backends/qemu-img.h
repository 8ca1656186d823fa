/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* qemu-img: what it is called with, and the call. */

#include "backends/image-plan.h"

/* The image's descriptor has this number in the child, so that its path is always the same. */
#define QEMU_IMG_FD 3
#define QEMU_IMG_TARGET "/proc/self/fd/3"
/* Where it finds the first secret of a call on one image, which comes next: never in argv or environment. */
#define QEMU_IMG_SECRET_FD 4
#define QEMU_IMG_SECRET "sec0"
/* A call has no more descriptors than these; the second has the next number, and so on. */
#define QEMU_IMG_FDS_MAX 72U

/* Appends the option that gives QEMU a secret of that id from that descriptor. 0 or -ENOMEM. */
int qemu_img_extend_with_secret(char ***argv, const char *id, unsigned fd);

/*
 * The argv that makes the image of a plan (its format, sizes, backing store) with def's features, in target.
 * The backing store is recorded, not opened; the secret is expected at QEMU_IMG_SECRET_FD. A NULL-terminated
 * list owned by the caller. 0 or -ENOMEM.
 */
int qemu_img_create_argv(const ImagePlan *plan, const VolumeDef *def, const char *target, char ***ret);
/*
 * The argv that makes an image another size. The image's backing store is not opened, and its locks are not
 * taken: the caller has them. encrypted: by LUKS in it, with the secret at QEMU_IMG_SECRET_FD. 0 or -ENOMEM.
 */
typedef struct QemuImgResize {
        const char *format; /* QEMU's name */
        uint64_t capacity;
        const char *preallocation; /* of what is added; NULL: none */
        bool shrink, encrypted;
} QemuImgResize;

int qemu_img_resize_argv(const QemuImgResize *z, char ***ret);

/*
 * The argv that copies an image (source: its name for QEMU) to the one that is there, in target: a device, a
 * file of zeros of the same or a larger capacity, or an empty image. zero: it reads as zeros. 0 or -ENOMEM.
 */
typedef struct QemuImgConvert {
        const char *source, *target, *target_format; /* QEMU's name for the format */
        bool device, zero, compress;
        bool direct;        /* past the page cache */
        unsigned secret_fd; /* of the target's passphrase; 0: none */
        char **objects;     /* what QEMU needs besides to open the source; NULL: nothing */
        uint64_t offset;    /* of a raw target: where it begins */
} QemuImgConvert;

int qemu_img_convert_argv(const QemuImgConvert *c, char ***ret);

/* A call of qemu-img. All is the caller's. */
typedef struct QemuImgCall {
        char **argv;
        const int *fds; /* of which the child has copies: QEMU_IMG_FD, QEMU_IMG_FD + 1, … */
        size_t n_fds;   /* QEMU_IMG_FDS_MAX at most */
        uint64_t total; /* bytes that it works on, for its limits, and for progress; 0: that is not told */
        bool tells; /* it has the option -p: what it prints is its progress; else what fds[0] has allocated
                       is */
        bool compresses;
        uint64_t deadline_usec; /* 0: none */
        const char *what;       /* for messages: "make volume 'x'" */
} QemuImgCall;

/*
 * Runs it, bounded in memory and processor time, until it ends or ctx is cancelled or its time is over; then
 * it is killed. It is in the worker's process group. What it complains of becomes the error.
 */
int qemu_img_call(BackendContext *ctx, const QemuImgCall *call);
/* The same for work on one image, fd, and with the context's secret if there is one. */
int qemu_img_run(BackendContext *ctx, char **argv, int fd, uint64_t total, uint64_t deadline_usec,
                 const char *what);
/* Opens the file of a secret, to pass it on. A descriptor, or NotFound. */
int qemu_img_open_secret(BackendContext *ctx, const char *path);
