/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What an image file is, read natively from its header: bounded reads, nothing followed, nothing believed
 * before it is checked. The layouts are taken from the formats' published specifications, named in the .c
 * files.
 */

#include "common/volume-def.h"

typedef enum ImageFormat {
        IMAGE_RAW, /* nothing was recognised */
        IMAGE_DIR,
        IMAGE_BOCHS,
        IMAGE_CLOOP,
        IMAGE_COW,
        IMAGE_DMG,
        IMAGE_ISO,
        IMAGE_VPC, /* VHD: libvirt's name for it is "vpc" */
        IMAGE_VHDX,
        IMAGE_VDI,
        IMAGE_FAT,
        IMAGE_PLOOP,
        IMAGE_QCOW,
        IMAGE_QCOW2,
        IMAGE_QED,
        IMAGE_VMDK,
        IMAGE_LUKS,
        _IMAGE_FORMAT_MAX,
} ImageFormat;

/* "raw", "qcow2", … : the name in Volume.Format and in volume XML. */
const char *image_format_to_string(ImageFormat f);
/* Also takes "vhd", for vpc. _IMAGE_FORMAT_MAX if there is none. */
ImageFormat image_format_from_string(const char *s);

typedef struct ImageSnapshot {
        char *id, *name;        /* valid UTF-8 */
        uint64_t vm_state_size; /* bytes */
        int64_t time;           /* µs since 1970 UTC */
} ImageSnapshot;

#define IMAGE_SNAPSHOTS_MAX 4096U

/* Everything but format and capacity is absent for most images: extra is NULL unless there is something. */
typedef struct ImageExtra {
        char *backing_path;   /* as written in the header, made valid UTF-8; NULL: none */
        char *backing_format; /* as recorded in the header; NULL: not recorded */
        bool backing_json;    /* backing_path is a "json:" or protocol name, not a file's path */
        EncryptionFormat encryption;
        char *cipher_name, *cipher_mode, *cipher_hash; /* LUKS, as far as the header tells */
        uint32_t cipher_size;                          /* bits */
        char *compat;                                  /* qcow2: "0.10" or "1.1" */
        bool lazy_refcounts, extended_l2;              /* qcow2 */
        bool dirty, corrupt;                           /* qcow2's incompatible feature bits */
        bool external_data;                            /* qcow2: data is in another file */
        char *data_file;                               /* its name, if recorded */
        uint64_t cluster_size;
        ImageSnapshot *snapshots;
        size_t n_snapshots;
        char *problem; /* for people: what the header says that cannot be true; NULL: nothing wrong */
} ImageExtra;

typedef struct ImageInfo {
        ImageFormat format;
        uint64_t capacity; /* bytes the guest sees; for raw the file's size */
        ImageExtra *extra; /* owned; NULL: nothing */
} ImageInfo;

#define IMAGE_HEAD_SIZE 4096U

/*
 * Looks at a regular file's (or block device's) contents. head holds the first n_head bytes (as many as
 * there are up to IMAGE_HEAD_SIZE), size is the whole length in bytes. fd is read further (pread only) when
 * the head promises something that lies elsewhere: qcow2's backing name and snapshot table, ISO's and DMG's
 * descriptors, VHD's and VHDX's footers and metadata. fd may be -1 (fuzzing, or a head alone): then those
 * are left out. A header that lies (tables beyond the end, absurd sizes, names without end) still gets its
 * format, with the reason in extra->problem; never an error. 0 or -ENOMEM. ret is freed with
 * image_info_done().
 */
int image_probe(int fd, const uint8_t *head, size_t n_head, uint64_t size, ImageInfo *ret);
void image_info_done(ImageInfo *info);

/*
 * True when a file of these first bytes and length can only be raw: the one test that the hot path of a scan
 * makes before anything else is read (VHD fixed and DMG images show themselves at their end only, so a size
 * that is not theirs rules these out too).
 */
bool image_is_plain_raw(const uint8_t *head, size_t n_head, uint64_t size);
