/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * VolumeDef: a volume as libvirt's <volume> describes it, both what a caller asks for and what is printed of
 * an existing one. A plain value that owns its strings; sizes in bytes, times in nanoseconds since 1970 UTC.
 */

#include "common/pool-def.h"

typedef enum VolumeType {
        VOLUME_FILE,
        VOLUME_BLOCK,
        VOLUME_DIR,
        VOLUME_NETWORK,
        VOLUME_NETDIR,
        VOLUME_PLOOP,
        _VOLUME_TYPE_MAX,
        _VOLUME_TYPE_INVALID = -1,
} VolumeType;

const char *volume_type_to_string(VolumeType type);
VolumeType volume_type_from_string(const char *s);

typedef enum EncryptionFormat {
        ENCRYPTION_NONE,
        ENCRYPTION_DEFAULT,
        ENCRYPTION_QCOW,
        ENCRYPTION_LUKS,
        ENCRYPTION_LUKS2,
        _ENCRYPTION_MAX,
} EncryptionFormat;

const char *encryption_format_to_string(EncryptionFormat f); /* "" for none */

typedef struct EncryptionSecret {
        char *type; /* "passphrase" */
        char *uuid; /* one of the two */
        char *usage;
} EncryptionSecret;

typedef struct VolumeEncryption {
        EncryptionFormat format;
        EncryptionSecret *secrets;
        size_t n_secrets;
        char *cipher_name, *cipher_mode, *cipher_hash;
        uint32_t cipher_size; /* bits; 0: not given */
        char *ivgen_name, *ivgen_hash;
} VolumeEncryption;

typedef struct VolumeTimes {
        bool set;
        int64_t atime, btime, ctime, mtime; /* ns; 0: unknown */
} VolumeTimes;

typedef struct VolumeExtent {
        char *device;
        uint64_t start, end;
} VolumeExtent;

void volume_extents_free(VolumeExtent *extents, size_t n);
/* A deep copy of n in *ret; on -ENOMEM it has the first *ret_n of them. 0 or -ENOMEM. */
int volume_extents_copy(const VolumeExtent *from, size_t n, VolumeExtent **ret, size_t *ret_n);

typedef struct VolumeDef {
        VolumeType type;
        char *name;
        char *key;             /* printed only: one in the input is ignored */
        VolumeExtent *extents; /* printed only */
        size_t n_extents;
        bool capacity_set, allocation_set;
        uint64_t capacity, allocation;
        uint64_t physical; /* printed only; 0: none */
        char *target_path; /* printed only */
        char *format;      /* NULL: the pool's default */
        Permissions permissions;
        VolumeTimes times;
        VolumeEncryption encryption;
        char *compat; /* "0.10" or "1.1" */
        bool nocow;
        uint64_t cluster_size; /* 0: not given */
        Tristate lazy_refcounts, extended_l2;
        char *backing_path; /* NULL: no backing store */
        char *backing_format;
        Permissions backing_permissions;
        VolumeTimes backing_times;
} VolumeDef;

VolumeDef *volume_def_new(void);
VolumeDef *volume_def_free(VolumeDef *def);
DEFINE_CLEANUP(VolumeDef *, volume_def_free)
int volume_def_copy(const VolumeDef *def, VolumeDef **ret);
/* Names the secret that it is encrypted with, by usage or UUID, in the place of any other. 0 or -ENOMEM. */
int volume_def_set_secret(VolumeDef *def, const char *name);

/*
 * Checks a definition for creation in a pool of that type, and fills what may be left out: format, capacity
 * optional with a backing store, omitted allocation = full (allocation_set stays false). Refuses
 * (InvalidName, InvalidArgument): names with '/', NUL, control characters, "." and "..", more than 255
 * bytes, or that are not UTF-8; formats that the type does not have; zero capacity for logical and disk; a
 * backing store with a raw format or with a format that cannot have one; cluster size that is not a power of
 * two between 512 and 2 MiB; compat and features that do not go together; encryption that the format has
 * not.
 */
int volume_def_validate(VolumeDef *def, PoolType type, sd_bus_error *error);
int volume_name_validate(const char *name, sd_bus_error *error);

/* As with pools: libvirt's volume XML in and out; see pool_def_parse_xml(). The parser calls the validator.
 */
int volume_def_parse_xml(const char *xml, size_t n, PoolType type, VolumeDef **ret, sd_bus_error *error);
/* Of a clone: what its source tells may be left out, so that it is still to be completed and validated. */
int volume_def_parse_clone_xml(const char *xml, size_t n, PoolType type, VolumeDef **ret,
                               sd_bus_error *error);
int volume_def_format_xml(const VolumeDef *def, char **ret);

/*
 * One option of CreateVolume, by key: reads the variant's contents into def if the key belongs to a volume
 * definition (format compat encryption backing-path backing-format allocation cluster-size mode owner group
 * nocow lazy-refcounts extended-l2). The message's read pointer is at the variant. 1: read; 0: not a key of
 * a definition, nothing read; negative with InvalidArgument: wrong type or value.
 */
int volume_def_read_option(VolumeDef *def, const char *key, sd_bus_message *m, sd_bus_error *error);
