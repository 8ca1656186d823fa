/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * PoolDef: what a pool is, as its owner wrote it (libvirt's <pool>). A plain value: it knows nothing of what
 * is running. All strings and arrays are owned by it; NULL strings are "not given". Sizes are in bytes.
 */

#include "common/pool-type.h"
#include "common/util.h"

#define ID_UNSET UINT32_MAX   /* an owner or group that was not given */
#define MODE_UNSET UINT32_MAX /* a mode that was not given */

/* Limits on what a definition may hold; the parsers refuse more. */
#define DEF_XML_MAX (1024U * 1024U)
#define DEF_LIST_MAX 256U    /* hosts, devices, mount options */
#define DEF_STRING_MAX 4096U /* bytes of one string */
#define DEF_NAME_MAX 255U    /* bytes of a pool's or volume's name */

typedef struct Permissions {
        uint32_t mode;  /* MODE_UNSET or 0..0777 */
        uint32_t owner; /* ID_UNSET or a uid */
        uint32_t group;
        char *label;
} Permissions;

#define PERMISSIONS_UNSET ((Permissions){.mode = MODE_UNSET, .owner = ID_UNSET, .group = ID_UNSET})

typedef struct PoolHost {
        char *name;
        uint16_t port; /* 0: not given */
} PoolHost;

typedef struct PoolDevice {
        char *path;
        bool part_separator_set, part_separator;
} PoolDevice;

typedef enum AuthType { AUTH_NONE, AUTH_CHAP, AUTH_CEPH } AuthType;

typedef struct PoolAuth {
        AuthType type;
        char *username;
        char *secret_uuid; /* at most one of the two */
        char *secret_usage;
} PoolAuth;

typedef enum AdapterType { ADAPTER_NONE, ADAPTER_SCSI_HOST, ADAPTER_FC_HOST } AdapterType;

typedef struct PoolAdapter {
        AdapterType type;
        char *name;                                                                 /* scsi_host */
        char *parent, *parent_wwnn, *parent_wwpn, *parent_fabric_wwn, *wwnn, *wwpn; /* fc_host */
        bool managed_set, managed;
        bool parentaddr; /* scsi_host by <parentaddr>: the fields below */
        uint32_t parentaddr_unique_id;
        uint32_t parentaddr_domain, parentaddr_bus, parentaddr_slot, parentaddr_function;
} PoolAdapter;

/* The md array beneath a pool: an extension of ours, which libvirt's XML has not. */
typedef struct PoolRaid {
        char *level;         /* raid0 raid1 raid4 raid5 raid6 raid10; NULL: no array */
        PoolDevice *members; /* devices that it is made of, spares last */
        size_t n_members;
        uint32_t spares;     /* how many of the members are spares */
        uint64_t chunk_size; /* bytes; 0: mdadm's default */
} PoolRaid;

typedef struct PoolSource {
        PoolHost *hosts;
        size_t n_hosts;
        PoolDevice *devices;
        size_t n_devices;
        char *dir;
        char *name;
        char *format; /* a name out of pool_type_info()->source_formats; always set where the type has
                         formats */
        char *protocol_version; /* NFS */
        char *vendor, *product;
        char *initiator_iqn;
        PoolAuth auth;
        PoolAdapter adapter;
} PoolSource;

typedef enum RefreshAllocation {
        REFRESH_ALLOCATION_UNSET,
        REFRESH_ALLOCATION_DEFAULT,
        REFRESH_ALLOCATION_CAPACITY,
} RefreshAllocation;

typedef enum Tristate { TRISTATE_UNSET = -1, TRISTATE_NO = 0, TRISTATE_YES = 1 } Tristate;

typedef struct PoolDef {
        PoolType type;
        char *name;
        char *uuid; /* canonical 36 characters, lower case; NULL: not given */
        Tristate cow;
        PoolSource source;
        PoolRaid raid;     /* then source.devices is the array's own device: /dev/md/NAME */
        char *target_path; /* absolute, without "//", "/./", "/../" or a trailing slash */
        Permissions permissions;
        RefreshAllocation refresh_allocation;
        char **mount_options;
} PoolDef;

/* Lists of devices. A copy in *ret: on -ENOMEM it has the first *ret_n of them. */
void pool_devices_free(PoolDevice *devices, size_t n);
int pool_devices_copy(const PoolDevice *from, size_t n, PoolDevice **ret, size_t *ret_n);
bool pool_devices_equal(const PoolDevice *a, size_t n_a, const PoolDevice *b, size_t n_b);

/* A fresh, empty definition (everything unset); NULL: out of memory. Freed with pool_def_free(), NULL is
 * fine. */
PoolDef *pool_def_new(PoolType type);
PoolDef *pool_def_free(PoolDef *def);
DEFINE_CLEANUP(PoolDef *, pool_def_free)
/* A deep copy in *ret. 0 or -ENOMEM. */
int pool_def_copy(const PoolDef *def, PoolDef **ret);
/* True when every field is equal: what Ensure compares (uuid is skipped when either has none). */
bool pool_def_equal(const PoolDef *a, const PoolDef *b);

/*
 * Normalises (target path; source name stands in for name and the reverse in a logical pool, whose target
 * path becomes /dev/<vg>; default format) and checks the whole definition against its type's row: names,
 * required and forbidden parts, formats, limits. What an output-only element said was dropped by the parser
 * before. 0, or a negative errno with InvalidName or InvalidArgument in error.
 */
int pool_def_validate(PoolDef *def, sd_bus_error *error);

/* A pool's name: 1..255 bytes of UTF-8 without '/', control characters, "." and "..". InvalidName if not. */
int pool_name_validate(const char *name, sd_bus_error *error);
/* Any UUID spelling that uuid_parse-like readers take (upper case, no dashes) to the canonical one. -EINVAL.
 */
int uuid_normalize(const char *s, char ret[static 37]);
/* A random UUID, version 4. */
void uuid_generate(char ret[static 37]);
/* Collapses an absolute path as text ("//", "/.", trailing '/'); "..", relative or over-long paths: -EINVAL.
 */
int path_normalize(const char *path, char **ret);

/* What is read off a running pool and shown in <pool> besides its definition; sizes in bytes. */
typedef struct PoolStatus {
        uint64_t capacity, allocation, available;
} PoolStatus;

/*
 * libvirt's pool XML. Reads n bytes (n ≤ DEF_XML_MAX, no entity expansion, no DTD, no network, bounded
 * depth); unknown elements of libvirt's namespace are an error only where libvirt's schema refuses them;
 * *ret is owned by the caller and validated. 0, or a negative errno: InvalidXML with line and reason, or the
 * errors of pool_def_validate().
 */
int pool_def_parse_xml(const char *xml, size_t n, PoolDef **ret, sd_bus_error *error);
/* Writes it so that storagepool.rng accepts it. status may be NULL (a definition at rest: sizes 0). *ret is
 * owned by the caller. 0 or -ENOMEM. */
int pool_def_format_xml(const PoolDef *def, const PoolStatus *status, char **ret);

/*
 * libvirt's <source> element alone, as FindPoolSourcesXML takes it. Not validated against required parts.
 */
int pool_source_parse_xml(PoolType type, const char *xml, size_t n, PoolDef **ret, sd_bus_error *error);
/* Writes that element, or several in one <sources>. *ret is owned by the caller. 0 or -ENOMEM. */
int pool_source_format_xml(const PoolDef *def, char **ret);
int pool_sources_format_xml(PoolDef *const *defs, size_t n, char **ret);

/*
 * The a{sv} of DefinePool and Pool.Definition. Reads the dictionary at the message's read pointer; an
 * unknown or twice given key, or a value of another type, is InvalidArgument and names the key. name and
 * type come from the method's own arguments. *ret is validated.
 */
int pool_def_read_dict(sd_bus_message *m, const char *name, PoolType type, PoolDef **ret,
                       sd_bus_error *error);
/* The same for a source alone, of those keys that belong to one. Not validated against required parts. */
int pool_source_read_dict(sd_bus_message *m, PoolType type, PoolDef **ret, sd_bus_error *error);
/* Appends it as one a{sv}: only keys that are set. 0 or negative errno. */
int pool_def_append_dict(const PoolDef *def, sd_bus_message *m);
