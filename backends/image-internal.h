/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the readers of image headers share. A reader is called once its magic has matched; it fills capacity
 * and extra of an ImageInfo that holds nothing but the format. All return 0 or -ENOMEM.
 */

#include "backends/image-probe.h"

#include <endian.h>
#include <inttypes.h>

/* Longest backing or data file name that is believed: PATH_MAX. */
#define IMAGE_NAME_MAX 4096U

static inline uint16_t read_be16(const void *p)
{
        uint16_t v;

        memcpy(&v, p, sizeof v);
        return be16toh(v);
}

static inline uint32_t read_be32(const void *p)
{
        uint32_t v;

        memcpy(&v, p, sizeof v);
        return be32toh(v);
}

static inline uint64_t read_be64(const void *p)
{
        uint64_t v;

        memcpy(&v, p, sizeof v);
        return be64toh(v);
}

static inline uint16_t read_le16(const void *p)
{
        uint16_t v;

        memcpy(&v, p, sizeof v);
        return le16toh(v);
}

static inline uint32_t read_le32(const void *p)
{
        uint32_t v;

        memcpy(&v, p, sizeof v);
        return le32toh(v);
}

static inline uint64_t read_le64(const void *p)
{
        uint64_t v;

        memcpy(&v, p, sizeof v);
        return le64toh(v);
}

/* Whether n bytes at off lie within size, without overflow. */
static inline bool image_within(uint64_t off, uint64_t n, uint64_t size)
{
        return n <= size && off <= size - n;
}

static inline bool is_power_of_2(uint64_t v)
{
        return v != 0 && (v & (v - 1)) == 0;
}

/* The extra of info, made if there is none yet; NULL: no memory. */
ImageExtra *image_extra(ImageInfo *info);

/* Records what is wrong, for people. The first one stays: what follows is mostly its consequence. */
int image_problem(ImageInfo *info, const char *format, ...) _printf_(2, 3);

/*
 * Reads exactly n bytes at off, out of the head if they are there. what names them in a problem ("snapshot
 * table"). 1: read. 0: they cannot be had, and the problem is recorded (none if there is no descriptor).
 */
int image_read(const ImageFile *file, ImageInfo *info, uint64_t off, void *buf, size_t n, const char *what);
/* The same into fresh memory of n + 1 bytes, with a NUL behind them. */
int image_read_alloc(const ImageFile *file, ImageInfo *info, uint64_t off, size_t n, const char *what,
                     char **ret);

/* Replaces *p by the at most n bytes at s up to a NUL, made valid UTF-8; NULL if they are empty. */
int image_set_string(char **p, const void *s, size_t n);
/* The same of n bytes of UTF-16. */
int image_set_utf16(char **p, const uint8_t *s, size_t n, bool big_endian);
/* Sets backing_path (and backing_json) to the at most n bytes at s, and its format if that is known. */
int image_set_backing(ImageInfo *info, const void *s, size_t n, const char *format);
/* What goes with a backing_path that was set already. info has an extra. */
int image_backing_was_set(ImageInfo *info, const char *format);
/* capacity = count × unit, unless that is more than an off_t holds: then a problem. */
int image_set_capacity(ImageInfo *info, uint64_t count, uint64_t unit);
int image_set_cluster_size(ImageInfo *info, uint64_t bytes);

int image_read_bochs(const ImageFile *file, ImageInfo *info);
int image_read_cloop(const ImageFile *file, ImageInfo *info);
int image_read_cow(const ImageFile *file, ImageInfo *info);
int image_read_ploop(const ImageFile *file, ImageInfo *info);
int image_read_qcow(const ImageFile *file, ImageInfo *info);
int image_read_qcow2(const ImageFile *file, ImageInfo *info);
int image_read_qed(const ImageFile *file, ImageInfo *info);
int image_read_vdi(const ImageFile *file, ImageInfo *info);
int image_read_vhdx(const ImageFile *file, ImageInfo *info);
int image_read_vmdk_sparse(const ImageFile *file, ImageInfo *info);
int image_read_vmdk_cowd(const ImageFile *file, ImageInfo *info);
int image_read_vmdk_text(const ImageFile *file, ImageInfo *info);
int image_read_vpc_dynamic(const ImageFile *file, ImageInfo *info);

/* The snapshot table of a qcow2 image; n and offset as its header has them. */
int image_read_qcow2_snapshots(const ImageFile *file, ImageInfo *info, uint32_t n, uint64_t offset);

/*
 * A LUKS header at offset, which is 0 but within qcow2: encryption and cipher. payload is where the data
 * begins, in bytes from the header's begin; 0 if it cannot be told.
 */
int image_read_luks_at(const ImageFile *file, ImageInfo *info, uint64_t offset, uint64_t *ret_payload);
int image_read_luks(const ImageFile *file, ImageInfo *info);

/* A fixed VHD, whose footer of 512 bytes is at the end of the file only. */
int image_read_vpc_fixed(const ImageFile *file, ImageInfo *info, const uint8_t *footer);
int image_read_dmg(const ImageFile *file, ImageInfo *info, const uint8_t *trailer);

bool image_is_fat(const ImageFile *file);
int image_read_fat(const ImageFile *file, ImageInfo *info);

#define IMAGE_ISO_DESCRIPTOR 32768U
#define IMAGE_TAIL_SIZE 512U

/* Look there, and set format to what they find; raw stays as it is. */
int image_try_iso(const ImageFile *file, ImageInfo *info);
int image_try_tail(const ImageFile *file, ImageInfo *info);
