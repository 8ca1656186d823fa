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
        IMAGE_DIR, /* never found by image_probe(): the caller sees a folder before it opens it */
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
        char *backing_format; /* as recorded, or as the format demands (a VMDK's parent is a VMDK); NULL: not
                                 known */
        bool backing_json;    /* backing_path is a "json:" or protocol name, not a file's path */
        EncryptionFormat encryption;
        /* LUKS, as far as the header tells, in libvirt's words: "aes", "xts", "sha256", "plain64". */
        char *cipher_name, *cipher_mode, *cipher_hash, *ivgen_name, *ivgen_hash;
        uint32_t cipher_size;             /* bits of the cipher: half of the key with xts, which has two */
        char *compat;                     /* qcow2: "0.10" or "1.1" */
        bool lazy_refcounts, extended_l2; /* qcow2 */
        bool dirty, corrupt;      /* qcow2's incompatible feature bits; dirty also of qed and ploop */
        bool external_data;       /* qcow2: data is in another file */
        char *data_file;          /* its name; IMAGE_DATA_FILE_UNNAMED if none could be read */
        uint64_t cluster_size;    /* bytes; 0: the format has none */
        ImageSnapshot *snapshots; /* qcow2; at most IMAGE_SNAPSHOTS_MAX */
        size_t n_snapshots;
        char *problem;      /* for people: what the header says that cannot be true; NULL: nothing wrong */
        bool only_unlisted; /* problem only tells that there are more snapshots than those */
} ImageExtra;

/* Of an image that has its data in a file of which the header gives no name, or none that we can read. */
#define IMAGE_DATA_FILE_UNNAMED "(not named)"

/*
 * Whether the header lies, or is not understood. QEMU must not open such an image: it may find in it what we
 * did not see, such as the names of other files, and opens those with our rights.
 */
bool image_is_damaged(const ImageExtra *extra);

typedef struct ImageInfo {
        ImageFormat format;
        uint64_t
                capacity; /* bytes the guest sees: the file's size for raw, iso and fat; 0: cannot be told */
        ImageExtra *extra; /* owned; NULL: nothing */
} ImageInfo;

/*
 * What the caller has read already. One pread of this size is enough for all but a few files. Measured on
 * 50,000 files in the page cache: a head of 36 KiB, which would reach ISO 9660's descriptor, makes the whole
 * loop of open, fstat and pread of sparse files up to twice as long, whereas a second pread of a few bytes
 * costs a fifth, and only the files that image_is_plain_raw() does not rule out.
 */
#define IMAGE_HEAD_SIZE 4096U

/* A regular file or block device to look at. Borrows everything. */
typedef struct ImageFile {
        int fd; /* -1: the head is all there is (what lies elsewhere is left out, and is no problem) */
        const uint8_t *head;
        size_t n_head;      /* the file's first bytes, as many as there are up to IMAGE_HEAD_SIZE */
        uint64_t size;      /* the whole length in bytes */
        uint64_t allocated; /* st_blocks × 512; UINT64_MAX if not known (a block device) */
        const char *name;   /* the file's name, for its suffix only; may be NULL */
} ImageFile;

/*
 * True when the file can only be raw: nothing but the head has to be read. Almost all formats show
 * themselves there. The others are looked for only as follows, so that a raw file costs no second read
 * unless it might be one of them:
 *   ISO 9660 (32 KiB in): the name ends in ".iso", or the size is a multiple of a CD's 2048-byte sectors and
 *     more than 4096 bytes are allocated, which no new raw volume has: it is one hole, or has one block.
 *   fixed VHD, DMG (last 512 bytes): the name ends in ".vhd", ".vpc" or ".dmg", or the size is one footer
 *     (512 bytes, or 511 as Virtual PC before 2004 wrote it) over a multiple of 4096.
 */
bool image_is_plain_raw(const ImageFile *file);
/* Of a VMDK, by its head: its data is in the file itself, not in others that it names. */
bool image_vmdk_is_whole(const ImageFile *file);

/*
 * Looks at the contents. file->fd is read further (pread only, bounded) when the head promises something
 * that lies elsewhere: qcow2's snapshot table, VHDX's metadata, LUKS2's JSON, a long VMDK descriptor, and
 * what image_is_plain_raw() names. A header that lies (tables beyond the end, absurd sizes, names without
 * end) still gets its format, with the reason in extra->problem; never an error. 0 or -ENOMEM. ret is freed
 * with image_info_done().
 */
int image_probe(const ImageFile *file, ImageInfo *ret);
void image_info_done(ImageInfo *info);
