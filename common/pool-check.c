/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/pool-check.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "common/def-util.h"
#include "common/pool-raid.h"

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* True if s is not empty and has only characters of that set. */
static bool has_only(const char *s, const char *set)
{
        return !isempty(s) && s[strspn(s, set)] == 0;
}

int pool_check_uuid(char **uuid, sd_bus_error *error)
{
        char canonical[37];

        if (!*uuid)
                return 0;
        if (uuid_normalize(*uuid, canonical) < 0)
                return def_invalid(error, "'%.100s' is not a UUID", *uuid);
        return free_and_strdup(uuid, canonical);
}

int pool_check_host(const PoolHost *host, sd_bus_error *error)
{
        struct in6_addr address;

        if (isempty(host->name))
                return def_invalid(error, "A host of the source has no name");
        if (strlen(host->name) <= DEF_NAME_MAX &&
            (has_only(host->name, LETTERS DIGITS ".-") || inet_pton(AF_INET6, host->name, &address) == 1))
                return 0;
        return def_invalid(error, "'%.100s' is neither a host name nor an IP address", host->name);
}

/* "iqn.2010-05.com.example:disk1", as RFC 3720 has it. */
static bool is_iqn(const char *s)
{
        const char *p = startswith(s, "iqn."), *name;

        if (!p || strspn(p, DIGITS) != 4 || p[4] != '-')
                return false;
        if (!isdigit((unsigned char) p[5]) || !isdigit((unsigned char) p[6]) || p[7] != '.')
                return false;
        if ((p[5] - '0') * 10 + (p[6] - '0') < 1 || (p[5] - '0') * 10 + (p[6] - '0') > 12)
                return false;
        name = p + 8;
        p = name + strspn(name, LETTERS DIGITS ".-");
        return p > name && (*p == 0 || (*p == ':' && p[1]));
}

int pool_check_device(PoolType type, const PoolDevice *device, sd_bus_error *error)
{
        const char *path = device->path;
        bool plain;
        int r;

        if (isempty(path))
                return def_invalid(error, "A device of the source has no path");
        r = def_check_text("path of a device", path, error);
        if (r < 0)
                return r;
        if (device->part_separator_set && type != POOL_DISK)
                return def_invalid(error, "part_separator of device '%s' is for pools of type disk only",
                                   path);
        plain = has_only(path, LETTERS DIGITS "_+-") && path[0] != '-';
        switch (type) {
        case POOL_ISCSI_DIRECT:
                if (!is_iqn(path))
                        return def_invalid(error, "The device '%s' is not an iSCSI qualified name (iqn.…)",
                                           path);
                return 0;
        case POOL_ISCSI:
                if (!is_iqn(path) && !plain)
                        return def_invalid(error, "The device '%s' is not an iSCSI target's name (iqn.…)",
                                           path);
                return 0;
        case POOL_ZFS:
                if (plain)
                        return 0;
                break;
        default:
                break;
        }
        if (path[0] != '/' || path[1] == 0)
                return def_invalid(error, "The device '%s' is not an absolute path such as /dev/sdb", path);
        return 0;
}

int pool_check_format(PoolType type, const char *format, sd_bus_error *error)
{
        const PoolTypeInfo *info = pool_type_info(type);
        _cleanup_free_ char *known = NULL;

        if (!format)
                return 0;
        if (!info->source_formats)
                return def_invalid(error, "Pools of type %s have no source format", info->name);
        if (def_list_has(info->source_formats, format))
                return 0;
        known = def_list_join(info->source_formats);
        return def_invalid(error, "'%.100s' is not a source format of pools of type %s: they have %s",
                           format, info->name, strempty(known));
}

int pool_check_auth(PoolType type, PoolAuth *auth, sd_bus_error *error)
{
        AuthType fitting = type == POOL_RBD ? AUTH_CEPH : AUTH_CHAP;
        int r;

        if (auth->type == AUTH_NONE) {
                if (auth->username || auth->secret_uuid || auth->secret_usage)
                        return def_invalid(
                                error, "A user name or secret is given without the kind of authentication");
                return 0;
        }
        if (auth->type != fitting)
                return def_invalid(error, "Pools of type %s authenticate by %s only",
                                   pool_type_to_string(type), fitting == AUTH_CEPH ? "ceph" : "chap");
        if (isempty(auth->username))
                return def_invalid(error, "The authentication of the source has no user name");
        r = def_check_text("user name of the source", auth->username, error);
        if (r < 0)
                return r;
        return def_check_secret(&auth->secret_uuid, auth->secret_usage, error);
}

/* A world wide name: 16 hexadecimal digits, with or without 0x. NULL is fine. */
static int check_wwn(const char *what, const char *wwn, sd_bus_error *error)
{
        const char *digits;

        if (!wwn)
                return 0;
        digits = startswith(wwn, "0x");
        if (!digits)
                digits = wwn;
        if (strlen(digits) == 16 && has_only(digits, DIGITS "abcdefABCDEF"))
                return 0;
        return def_invalid(error, "The %s '%.100s' of the adapter is not 16 hexadecimal digits", what, wwn);
}

static int check_fc_host(const PoolAdapter *a, sd_bus_error *error)
{
        const struct {
                const char *what, *value;
        } names[] = {
                {"wwnn", a->wwnn},
                {"wwpn", a->wwpn},
                {"parent_wwnn", a->parent_wwnn},
                {"parent_wwpn", a->parent_wwpn},
                {"parent_fabric_wwn", a->parent_fabric_wwn},
        };
        int r;

        if (a->name || a->parentaddr)
                return def_invalid(error,
                                   "An fc_host adapter is named by wwnn and wwpn, not by name or address");
        if (!a->wwnn || !a->wwpn)
                return def_invalid(error, "An fc_host adapter needs both wwnn and wwpn");
        if (!a->parent_wwnn != !a->parent_wwpn)
                return def_invalid(error, "The adapter's parent_wwnn and parent_wwpn go together");
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                r = check_wwn(names[i].what, names[i].value, error);
                if (r < 0)
                        return r;
        }
        return def_check_text("parent of the adapter", a->parent, error);
}

int pool_check_adapter(const PoolAdapter *a, sd_bus_error *error)
{
        bool fc = a->parent || a->parent_wwnn || a->parent_wwpn || a->parent_fabric_wwn || a->wwnn ||
                  a->wwpn || a->managed_set;

        switch (a->type) {
        case ADAPTER_NONE:
                if (fc || a->name || a->parentaddr)
                        return def_invalid(error, "The adapter has no type");
                return 0;
        case ADAPTER_FC_HOST:
                return check_fc_host(a, error);
        default:
                break;
        }
        if (fc)
                return def_invalid(error, "A scsi_host adapter has no parent, managed or world wide names");
        if (!a->name == !a->parentaddr)
                return def_invalid(error, "A scsi_host adapter needs either a name or its parent's address");
        if (a->parentaddr_bus > 0xff || a->parentaddr_slot > 0x1f || a->parentaddr_function > 7)
                return def_invalid(error, "The address of the adapter's parent is not one on a PCI bus");
        return def_check_text("name of the adapter", a->name, error);
}

int pool_check_target_path(char **path, sd_bus_error *error)
{
        char *normal;
        int r;

        r = def_check_text("target path", *path, error);
        if (r < 0)
                return r;
        r = path_normalize(*path, &normal);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return def_invalid(error, "The target path '%.100s' is not an absolute path without '..'",
                                   *path);
        def_take_string(path, normal);
        if (streq(*path, "/"))
                return def_invalid(error, "The root folder '/' cannot be a pool's target");
        return 0;
}

int pool_check_mount_option(const char *option, sd_bus_error *error)
{
        if (isempty(option))
                return def_invalid(error, "A mount option is empty");
        return def_check_text("mount option", option, error);
}

/* Names end as arguments of vgcreate, zpool and the like: one that begins with '-' would be read as an
 * option. */
static int check_source_name(PoolType type, const char *name, sd_bus_error *error)
{
        int r;

        if (!name)
                return 0;
        r = def_check_text("name of the source", name, error);
        if (r < 0)
                return r;
        if (name[0] == '-')
                return def_invalid(error, "The name of the source '%s' begins with '-'", name);
        if (type == POOL_LOGICAL && (!has_only(name, LETTERS DIGITS "+_.-") || streq(name, ".") ||
                                     streq(name, "..") || strlen(name) > 127))
                return def_invalid(
                        error,
                        "'%.130s' cannot be a volume group's name: these have letters, digits and +_.- "
                        "only, and 127 at most",
                        name);
        return 0;
}

static int check_source_dir(const PoolDef *def, sd_bus_error *error)
{
        const PoolSource *s = &def->source;
        bool relative = def->type == POOL_NETFS && s->format && !streq(s->format, "auto") &&
                        !streq(s->format, "nfs");

        if (s->dir && s->dir[0] != '/' && !relative)
                return def_invalid(error, "The directory '%.100s' of the source is not an absolute path",
                                   s->dir);
        return def_check_text("directory of the source", s->dir, error);
}

static int check_protocol_version(const PoolDef *def, sd_bus_error *error)
{
        const PoolSource *s = &def->source;

        if (!s->protocol_version)
                return 0;
        if (def->type != POOL_NETFS || (s->format && !streq(s->format, "auto") && !streq(s->format, "nfs")))
                return def_invalid(error, "A protocol version is for NFS only");
        if (!has_only(s->protocol_version, DIGITS ".") || strlen(s->protocol_version) > 16)
                return def_invalid(error, "The protocol version '%.100s' is not a number such as 4.2",
                                   s->protocol_version);
        return 0;
}

static int check_source_texts(const PoolDef *def, sd_bus_error *error)
{
        const PoolSource *s = &def->source;
        int r;

        r = def_check_text("vendor of the source", s->vendor, error);
        if (r < 0)
                return r;
        r = def_check_text("product of the source", s->product, error);
        if (r < 0)
                return r;
        r = def_check_text("initiator of the source", s->initiator_iqn, error);
        if (r < 0)
                return r;
        r = check_source_name(def->type, s->name, error);
        if (r < 0)
                return r;
        r = check_source_dir(def, error);
        if (r < 0)
                return r;
        return check_protocol_version(def, error);
}

static int check_source_lists(PoolDef *def, sd_bus_error *error)
{
        const PoolTypeInfo *info = pool_type_info(def->type);
        const PoolSource *s = &def->source;
        int r;

        if (s->n_hosts > DEF_LIST_MAX || s->n_devices > DEF_LIST_MAX)
                return def_invalid(error, "The source has more than %u hosts or devices", DEF_LIST_MAX);
        if (s->n_devices > 1 && !info->many_devices)
                return def_invalid(error, "Pools of type %s have one source device, not %zu", info->name,
                                   s->n_devices);
        for (size_t i = 0; i < s->n_hosts; i++) {
                r = pool_check_host(&s->hosts[i], error);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < s->n_devices; i++) {
                r = pool_check_device(def->type, &s->devices[i], error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Which parts of a source are given, and what people call them. */
static const struct {
        PoolSourceKey key;
        const char *what;
} source_parts[] = {
        {POOL_SOURCE_HOST, "host"},
        {POOL_SOURCE_DEVICE, "device"},
        {POOL_SOURCE_DIR, "directory"},
        {POOL_SOURCE_NAME, "name"},
        {POOL_SOURCE_ADAPTER, "adapter"},
        {POOL_SOURCE_INITIATOR, "initiator"},
        {POOL_SOURCE_FORMAT, "format"},
        {POOL_SOURCE_AUTH, "authentication"},
        {POOL_SOURCE_VENDOR, "vendor or product"},
};

static unsigned source_keys_given(const PoolSource *s)
{
        return (s->n_hosts > 0 ? POOL_SOURCE_HOST : 0) | (s->n_devices > 0 ? POOL_SOURCE_DEVICE : 0) |
               (s->dir ? POOL_SOURCE_DIR : 0) | (s->name ? POOL_SOURCE_NAME : 0) |
               (s->adapter.type != ADAPTER_NONE ? POOL_SOURCE_ADAPTER : 0) |
               (s->initiator_iqn ? POOL_SOURCE_INITIATOR : 0) | (s->format ? POOL_SOURCE_FORMAT : 0) |
               (s->auth.type != AUTH_NONE ? POOL_SOURCE_AUTH : 0) |
               (s->vendor || s->product ? POOL_SOURCE_VENDOR : 0);
}

static int check_source_keys(const PoolDef *def, unsigned required, sd_bus_error *error)
{
        const PoolTypeInfo *info = pool_type_info(def->type);
        unsigned given = source_keys_given(&def->source);

        for (size_t i = 0; i < ELEMENTSOF(source_parts); i++) {
                if (given & ~info->source_keys & source_parts[i].key)
                        return def_invalid(error, "The source of a pool of type %s has no %s", info->name,
                                           source_parts[i].what);
                if (required & ~given & source_parts[i].key)
                        return def_invalid(error, "The source of the pool '%s', of type %s, lacks the %s",
                                           def->name, info->name, source_parts[i].what);
        }
        return 0;
}

int pool_check_source(PoolDef *def, sd_bus_error *error)
{
        int r;

        r = pool_check_auth(def->type, &def->source.auth, error);
        if (r < 0)
                return r;
        r = pool_check_adapter(&def->source.adapter, error);
        if (r < 0)
                return r;
        r = pool_check_format(def->type, def->source.format, error);
        if (r < 0)
                return r;
        r = check_source_keys(def, 0, error);
        if (r < 0)
                return r;
        r = check_source_lists(def, error);
        if (r < 0)
                return r;
        return check_source_texts(def, error);
}

/* In these types the pool and what it is made of are mostly called the same. */
static int fill_names(PoolDef *def)
{
        if (!(pool_type_info(def->type)->source_keys & POOL_SOURCE_NAME))
                return 0;
        if (!def->name)
                return free_and_strdup(&def->name, def->source.name);
        if (!def->source.name)
                return free_and_strdup(&def->source.name, def->name);
        return 0;
}

/* What libvirt supposes where nothing is said; where the target is decided by the source, it is no choice.
 */
static int fill_defaults(PoolDef *def)
{
        const PoolTypeInfo *info = pool_type_info(def->type);
        PoolSource *s = &def->source;
        char *path = NULL;
        int r;

        if (info->default_format && !s->format) {
                r = free_and_strdup(&s->format, info->default_format);
                if (r < 0)
                        return r;
        }
        if (def->type == POOL_GLUSTER && !s->dir) {
                r = free_and_strdup(&s->dir, "/");
                if (r < 0)
                        return r;
        }
        if (def->type != POOL_LOGICAL && def->type != POOL_ZFS)
                return 0;
        if (asprintf(&path, "%s/%s", def->type == POOL_LOGICAL ? "/dev" : "/dev/zvol", s->name) < 0)
                return -ENOMEM;
        def_take_string(&def->target_path, path);
        return 0;
}

static int check_rest(PoolDef *def, sd_bus_error *error)
{
        const PoolTypeInfo *info = pool_type_info(def->type);
        char *const *option;
        int r;

        if (def->cow != TRISTATE_UNSET && !info->cow)
                return def_invalid(error, "Copy-on-write cannot be set for pools of type %s", info->name);
        if (def->refresh_allocation != REFRESH_ALLOCATION_UNSET && !info->volume_allocation)
                return def_invalid(error,
                                   "How volumes' allocation is found cannot be set for pools of type %s",
                                   info->name);
        if (def->mount_options && !info->mount_options)
                return def_invalid(error, "Pools of type %s have no mount options", info->name);
        if (strv_length(def->mount_options) > DEF_LIST_MAX)
                return def_invalid(error, "More than %u mount options are given", DEF_LIST_MAX);
        STRV_FOREACH (option, def->mount_options) {
                r = pool_check_mount_option(*option, error);
                if (r < 0)
                        return r;
        }
        return def_check_permissions(&def->permissions, error);
}

static int check_target(PoolDef *def, sd_bus_error *error)
{
        const PoolTypeInfo *info = pool_type_info(def->type);
        const Permissions *p = &def->permissions;

        if (info->target_path) {
                if (!def->target_path)
                        return def_invalid(error, "The pool '%s', of type %s, lacks a target path",
                                           def->name, info->name);
                return pool_check_target_path(&def->target_path, error);
        }
        if (def->target_path || p->label || p->mode != MODE_UNSET || p->owner != ID_UNSET ||
            p->group != ID_UNSET)
                return def_invalid(error, "Pools of type %s have no target path and no permissions",
                                   info->name);
        return 0;
}

int pool_def_validate(PoolDef *def, sd_bus_error *error)
{
        int r;

        r = fill_names(def);
        if (r < 0)
                return r;
        r = pool_name_validate(def->name, error);
        if (r < 0)
                return r;
        r = pool_check_uuid(&def->uuid, error);
        if (r < 0)
                return r;
        r = pool_check_source(def, error);
        if (r < 0)
                return r;
        r = pool_check_raid(def, error);
        if (r < 0)
                return r;
        r = check_source_keys(def, pool_type_info(def->type)->source_required, error);
        if (r < 0)
                return r;
        r = fill_defaults(def);
        if (r < 0)
                return r;
        r = check_target(def, error);
        if (r < 0)
                return r;
        return check_rest(def, error);
}
