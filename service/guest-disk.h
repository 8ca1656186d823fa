/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A volume as a guest gets it: as a <disk> of libvirt's domain XML and as the argument of QEMU's -blockdev.
 * Sources: libvirt's formatdomain.html and domaincommon.rng of 9.0; BlockdevOptions in QEMU's
 * qapi/block-core.json of 7.2. Both name each image of the backing chain with its format, so that nobody
 * looks into a header, which a guest may have written, for what to open.
 */

#include "common/errors.h"
#include "common/util.h"

/* One image of a chain. */
typedef struct GuestImage {
        char *path;
        bool block;         /* a device, not a file */
        const char *format; /* a row of the table in guest-format.c: not owned */
        char *secret;       /* usage or UUID of what it is encrypted with; NULL: not encrypted */
} GuestImage;

typedef struct GuestDisk {
        const char *bus, *target, *device; /* NULL: the default; the caller's */
        bool read_only;
        const char *node_name; /* -blockdev: of the top node; the caller's */
        GuestImage *images;    /* the volume, then what it is built on, in order */
        size_t n_images;
        bool open_end; /* what is behind the last one is not known */
} GuestDisk;

void guest_disk_done(GuestDisk *disk);
/* Appends an image; copies path and secret. 0 or -ENOMEM. */
int guest_disk_add(GuestDisk *disk, const char *path, bool block, const char *format, const char *secret);

/*
 * Fills what the caller left out (bus, target, device), and makes CDs and floppies read-only.
 * InvalidArgument for what makes no sense together, or QEMU or libvirt would not take.
 */
int guest_disk_settle(GuestDisk *disk, sd_bus_error *error);
/* <disk> alone, owned by the caller. disk is settled. Unsupported if libvirt has no word for it. */
int guest_disk_format_xml(const GuestDisk *disk, char **ret, sd_bus_error *error);

/* The longest name that a node may be given by the caller: QEMU's limit of 31, less what we append. */
#define GUEST_NODE_NAME_MAX 21U

/* One JSON object in one line, owned by the caller. InvalidArgument for a bad name, or an open end. */
int guest_disk_format_blockdev(const GuestDisk *disk, char **ret, sd_bus_error *error);

/* What is known of a format of volumes, or of one that an overlay records (QEMU's names count, too). */
typedef struct GuestFormat {
        const char *name;
        const char *driver;  /* QEMU's block driver; NULL: it has none */
        const char *libvirt; /* <driver type>; NULL: it has none */
        bool read_only;      /* QEMU cannot write it */
        bool backing;        /* it can be an overlay */
} GuestFormat;

/* NULL: no such. */
const GuestFormat *guest_format_find(const char *name);
