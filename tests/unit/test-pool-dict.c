/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The a{sv} of DefinePool: every key, and what is refused. That XML survives it is for the golden tests. */

#include "common/errors.h"
#include "common/pool-def.h"
#include "tests/unit/bus-message.h"

#undef NDEBUG
#include <assert.h>

/* Reads the dictionary that was appended to m. */
static int read_def(sd_bus_message *m, const char *name, PoolType type, PoolDef **ret, sd_bus_error *error)
{
        seal_message(m);
        return pool_def_read_dict(m, name, type, ret, error);
}

#define DEFINE(def, name, type, ...)                                                    \
        do {                                                                            \
                _cleanup_bus_message_unref_ sd_bus_message *_m = NULL;                  \
                _cleanup_bus_error_free_ sd_bus_error _e = SD_BUS_ERROR_NULL;           \
                _cleanup_bus_close_ sd_bus *_bus = NULL;                                \
                _m = unsent_message(&_bus);                                             \
                assert(sd_bus_message_append(_m, "a{sv}", __VA_ARGS__) >= 0);           \
                if (read_def(_m, name, type, &(def), &_e) < 0) {                        \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, _e.message); \
                        abort();                                                        \
                }                                                                       \
        } while (0)

#define REFUSE(part, type, ...)                                                         \
        do {                                                                            \
                _cleanup_bus_message_unref_ sd_bus_message *_m = NULL;                  \
                _cleanup_bus_error_free_ sd_bus_error _e = SD_BUS_ERROR_NULL;           \
                _cleanup_(pool_def_freep) PoolDef *_def = NULL;                         \
                _cleanup_bus_close_ sd_bus *_bus = NULL;                                \
                _m = unsent_message(&_bus);                                             \
                assert(sd_bus_message_append(_m, "a{sv}", __VA_ARGS__) >= 0);           \
                assert(read_def(_m, "tank", type, &_def, &_e) == -EINVAL);              \
                assert(!_def);                                                          \
                assert(streq(_e.name, STORAGE_ERROR_INVALID_ARGUMENT));                 \
                if (!strstr(_e.message, part)) {                                        \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, _e.message); \
                        abort();                                                        \
                }                                                                       \
        } while (0)

static void test_empty(void)
{
        _cleanup_(pool_def_freep) PoolDef *def = NULL;

        DEFINE(def, "vg0", POOL_LOGICAL, 0);
        assert(streq(def->source.name, "vg0"));
        assert(streq(def->target_path, "/dev/vg0"));
        assert(streq(def->source.format, "lvm2"));
        assert(def->cow == TRISTATE_UNSET && def->permissions.mode == MODE_UNSET);
}

static void test_netfs(void)
{
        _cleanup_(pool_def_freep) PoolDef *def = NULL;

        DEFINE(def, "tank", POOL_NETFS, 12, "source-hosts", "a(sq)", 2, "a.example", 2049, "::1", 0,
               "source-dir", "s", "/export", "source-format", "s", "nfs", "protocol-version", "s", "4.2",
               "vendor", "s", "ACME", "product", "s", "", "target-path", "s", "/mnt//tank/", "mode", "u",
               0750, "owner", "u", 5, "group", "u", UINT32_MAX, "label", "s", "l", "mount-options", "as", 2,
               "ro", "soft");
        assert(def->source.n_hosts == 2);
        assert(streq(def->source.hosts[0].name, "a.example") && def->source.hosts[0].port == 2049);
        assert(streq(def->source.hosts[1].name, "::1") && def->source.hosts[1].port == 0);
        assert(streq(def->source.dir, "/export") && streq(def->source.format, "nfs"));
        assert(streq(def->source.protocol_version, "4.2"));
        assert(streq(def->source.vendor, "ACME") && !def->source.product);
        assert(streq(def->target_path, "/mnt/tank"));
        assert(def->permissions.mode == 0750 && def->permissions.owner == 5 &&
               def->permissions.group == ID_UNSET);
        assert(streq(def->permissions.label, "l"));
        assert(strv_length(def->mount_options) == 2 && streq(def->mount_options[1], "soft"));
}

static void test_iscsi(void)
{
        _cleanup_(pool_def_freep) PoolDef *def = NULL, *other = NULL;

        DEFINE(def, "tank", POOL_ISCSI, 7, "source-hosts", "a(sq)", 1, "h", 0, "source-devices", "as", 1,
               "iqn.2010-05.com.example:a", "initiator", "s", "iqn.2010-05.com.example:me", "auth-type", "s",
               "chap", "auth-username", "s", "me", "secret", "s", "0D5A2A612E1F4F2B9D3C5A1C4DE9B7A0",
               "target-path", "s", "/dev/disk/by-path");
        assert(def->source.auth.type == AUTH_CHAP && streq(def->source.auth.username, "me"));
        assert(streq(def->source.auth.secret_uuid, "0d5a2a61-2e1f-4f2b-9d3c-5a1c4de9b7a0"));
        assert(!def->source.auth.secret_usage);
        assert(streq(def->source.initiator_iqn, "iqn.2010-05.com.example:me"));

        DEFINE(other, "tank", POOL_RBD, 6, "source-hosts", "a(sq)", 1, "h", 0, "source-name", "s", "rbd",
               "auth-type", "s", "ceph", "auth-username", "s", "me", "secret", "s", "client.libvirt",
               "volume-allocation", "s", "capacity");
        assert(streq(other->source.auth.secret_usage, "client.libvirt") && !other->source.auth.secret_uuid);
        assert(other->refresh_allocation == REFRESH_ALLOCATION_CAPACITY);
}

static void test_adapters(void)
{
        _cleanup_(pool_def_freep) PoolDef *fc = NULL, *address = NULL, *name = NULL;
        const PoolAdapter *a;

        DEFINE(fc, "tank", POOL_SCSI, 2, "adapter", "a{ss}", 8, "type", "fc_host", "parent", "scsi_host5",
               "managed", "yes", "parent-wwnn", "20000000c9831b4a", "parent-wwpn", "10000000c9831b4a",
               "parent-fabric-wwn", "2002000573de9a81", "wwnn", "20000000c9831b4b", "wwpn",
               "10000000c9831b4b", "target-path", "s", "/dev");
        a = &fc->source.adapter;
        assert(a->type == ADAPTER_FC_HOST && streq(a->parent, "scsi_host5") && a->managed_set && a->managed);
        assert(streq(a->parent_wwnn, "20000000c9831b4a") && streq(a->parent_wwpn, "10000000c9831b4a"));
        assert(streq(a->parent_fabric_wwn, "2002000573de9a81"));
        assert(streq(a->wwnn, "20000000c9831b4b") && streq(a->wwpn, "10000000c9831b4b"));

        DEFINE(address, "tank", POOL_SCSI, 2, "adapter", "a{ss}", 2, "address", "0001:0a:1f.7", "unique-id",
               "3", "target-path", "s", "/dev");
        a = &address->source.adapter;
        assert(a->type == ADAPTER_SCSI_HOST && a->parentaddr && a->parentaddr_unique_id == 3);
        assert(a->parentaddr_domain == 1 && a->parentaddr_bus == 10 && a->parentaddr_slot == 31 &&
               a->parentaddr_function == 7);

        DEFINE(name, "tank", POOL_SCSI, 2, "adapter", "a{ss}", 1, "name", "host1", "target-path", "s",
               "/dev");
        assert(streq(name->source.adapter.name, "host1"));
}

/* A value that belongs to the devices is given before them. */
static void test_disk(void)
{
        _cleanup_(pool_def_freep) PoolDef *def = NULL;

        DEFINE(def, "tank", POOL_DISK, 4, "part-separator", "b", 0, "target-path", "s", "/dev",
               "source-devices", "as", 1, "/dev/mapper/a", "source-format", "s", "gpt");
        assert(def->source.devices[0].part_separator_set && !def->source.devices[0].part_separator);
}

static int read_source(PoolType type, PoolDef **ret, sd_bus_error *error, const char *key, const char *value)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_bus_close_ sd_bus *bus = NULL;

        m = unsent_message(&bus);
        assert(sd_bus_message_append(m, "a{sv}", key ? 1 : 0, key, "s", value) >= 0);
        seal_message(m);
        return pool_source_read_dict(m, type, ret, error);
}

/* Of a search nothing is required, and what is no part of a source is refused. */
static void test_source(void)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL, bad = SD_BUS_ERROR_NULL;
        _cleanup_(pool_def_freep) PoolDef *empty = NULL, *named = NULL, *none = NULL;

        assert(read_source(POOL_FS, &empty, NULL, NULL, NULL) == 0);
        assert(empty->source.n_devices == 0 && !empty->source.format);
        assert(read_source(POOL_LOGICAL, &named, NULL, "source-name", "vg") == 0);
        assert(streq(named->source.name, "vg") && !named->name);
        assert(read_source(POOL_FS, &none, &error, "target-path", "/a") < 0);
        assert(streq(error.message, "Unknown key 'target-path' in the source"));
        assert(read_source(POOL_FS, &none, &bad, "source-format", "zfs") < 0);
        assert(streq(bad.name, STORAGE_ERROR_INVALID_ARGUMENT) && !none);
}

static void test_raid(void)
{
        _cleanup_(pool_def_freep) PoolDef *def = NULL, *none = NULL;

        DEFINE(def, "tank", POOL_FS, 2, "target-path", "s", "/tank", "raid", "a{sv}", 4, "level", "s",
               "raid1", "devices", "as", 3, "/dev/vda", "/dev/vdb", "/dev/vdc", "spares", "u", 1,
               "chunk-size", "t", UINT64_C(65536));
        assert(streq(def->raid.level, "raid1") && def->raid.n_members == 3 && def->raid.spares == 1);
        assert(streq(def->raid.members[2].path, "/dev/vdc") && def->raid.chunk_size == 65536);
        assert(def->source.n_devices == 1 && streq(def->source.devices[0].path, "/dev/md/tank"));

        DEFINE(none, "tank", POOL_LOGICAL, 1, "raid", "a{sv}", 0);
        assert(!none->raid.level && none->source.n_devices == 0);
}

static void test_raid_refused(void)
{
        REFUSE("Unknown key 'mirrors' in 'raid'", POOL_FS, 1, "raid", "a{sv}", 1, "mirrors", "u", 2);
        REFUSE("The key 'level' of 'raid' has type 'u' instead of 's'", POOL_FS, 1, "raid", "a{sv}", 1,
               "level", "u", 1);
        REFUSE("The key 'spares' is given twice in 'raid'", POOL_FS, 1, "raid", "a{sv}", 2, "spares", "u", 0,
               "spares", "u", 1);
        REFUSE("has no level", POOL_FS, 1, "raid", "a{sv}", 1, "devices", "as", 1, "/dev/vda");
        REFUSE("has 2 spares, but only 1 devices", POOL_FS, 1, "raid", "a{sv}", 3, "level", "s", "raid1",
               "devices", "as", 1, "/dev/vda", "spares", "u", 2);
        REFUSE("cannot be an array's device", POOL_LOGICAL, 2, "source-devices", "as", 1, "/dev/md/-r",
               "raid", "a{sv}", 2, "level", "s", "raid1", "devices", "as", 2, "/dev/vda", "/dev/vdb");
        REFUSE("Pools of type dir", POOL_DIR, 1, "raid", "a{sv}", 2, "level", "s", "raid1", "devices", "as",
               2, "/dev/vda", "/dev/vdb");
}

static void test_cow(void)
{
        _cleanup_(pool_def_freep) PoolDef *no = NULL, *yes = NULL;

        DEFINE(no, "tank", POOL_DIR, 2, "cow", "b", 0, "target-path", "s", "/a");
        DEFINE(yes, "tank", POOL_DIR, 2, "cow", "b", 1, "target-path", "s", "/a");
        assert(no->cow == TRISTATE_NO && yes->cow == TRISTATE_YES);
}

static void test_refused_keys(void)
{
        REFUSE("Unknown key 'colour'", POOL_DIR, 1, "colour", "s", "red");
        REFUSE("'target-path' is given twice", POOL_DIR, 2, "target-path", "s", "/a", "target-path", "s",
               "/a");
        REFUSE("'target-path' of the definition has type 'o' instead of 's'", POOL_DIR, 1, "target-path",
               "o", "/a");
        REFUSE("'mode' of the definition has type 'i' instead of 'u'", POOL_DIR, 1, "mode", "i", 7);
        REFUSE("'source-hosts' of the definition has type 'as'", POOL_NETFS, 1, "source-hosts", "as", 1,
               "a");
        REFUSE("'cow' of the definition has type 's' instead of 'b'", POOL_DIR, 1, "cow", "s", "yes");
}

static void test_refused_values(void)
{
        REFUSE("lacks a target path", POOL_DIR, 0);
        REFUSE("has no host", POOL_DIR, 2, "source-hosts", "a(sq)", 1, "h", 0, "target-path", "s", "/a");
        REFUSE("The target path 'a'", POOL_DIR, 1, "target-path", "s", "a");
        REFUSE("01000 is more than 0777", POOL_DIR, 2, "target-path", "s", "/a", "mode", "u", 01000);
        REFUSE("control characters", POOL_DIR, 2, "target-path", "s", "/a", "label", "s", "a\nb");
        REFUSE("'auth-type' is none of chap, ceph", POOL_ISCSI, 1, "auth-type", "s", "pam");
        REFUSE("without the kind of authentication", POOL_ISCSI, 1, "secret", "s", "a");
        REFUSE("none of default, capacity", POOL_RBD, 1, "volume-allocation", "s", "none");
        REFUSE("Unknown key 'color' in 'adapter'", POOL_SCSI, 1, "adapter", "a{ss}", 1, "color", "red");
        REFUSE("neither scsi_host nor fc_host", POOL_SCSI, 1, "adapter", "a{ss}", 1, "type", "ide");
        REFUSE("neither yes nor no", POOL_SCSI, 1, "adapter", "a{ss}", 1, "managed", "on");
        REFUSE("not of the form", POOL_SCSI, 1, "adapter", "a{ss}", 1, "address", "1f.7");
        REFUSE("not of the form", POOL_SCSI, 1, "adapter", "a{ss}", 1, "address", "0000:00:1f.7 ");
        REFUSE("not one on a PCI bus", POOL_SCSI, 1, "adapter", "a{ss}", 1, "address", "0000:00:20.0");
        REFUSE("at least 1", POOL_SCSI, 1, "adapter", "a{ss}", 1, "unique-id", "0");
        REFUSE("at least 1", POOL_SCSI, 1, "adapter", "a{ss}", 1, "unique-id", "4294967296");
        REFUSE("needs an address", POOL_SCSI, 1, "adapter", "a{ss}", 1, "unique-id", "1");
        REFUSE("one source device", POOL_FS, 2, "source-devices", "as", 2, "/dev/a", "/dev/b", "target-path",
               "s", "/a");
}

static void test_long_lists(void)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_strv_free_ char **list = NULL;
        _cleanup_bus_close_ sd_bus *bus = NULL;
        PoolDef *def = NULL;

        for (size_t i = 0; i <= DEF_LIST_MAX; i++)
                assert(strv_extend(&list, "/dev/a") == 0);
        m = unsent_message(&bus);
        assert(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        assert(sd_bus_message_open_container(m, 'e', "sv") >= 0);
        assert(sd_bus_message_append(m, "s", "source-devices") >= 0);
        assert(sd_bus_message_open_container(m, 'v', "as") >= 0);
        assert(sd_bus_message_append_strv(m, list) >= 0);
        for (size_t i = 0; i < 3; i++)
                assert(sd_bus_message_close_container(m) >= 0);
        assert(read_def(m, "vg0", POOL_LOGICAL, &def, &error) == -EINVAL);
        assert(strstr(error.message, "'source-devices' has more than 256 entries"));
}

/* The reader leaves the message where the next argument is. */
static void test_read_pointer(void)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_(pool_def_freep) PoolDef *def = NULL;
        _cleanup_bus_close_ sd_bus *bus = NULL;
        const char *next;

        m = unsent_message(&bus);
        assert(sd_bus_message_append(m, "a{sv}s", 1, "target-path", "s", "/a", "next") >= 0);
        assert(read_def(m, "tank", POOL_DIR, &def, NULL) == 0);
        assert(sd_bus_message_read(m, "s", &next) > 0 && streq(next, "next"));
}

int main(void)
{
        assert(storage_errors_register() >= 0);
        test_empty();
        test_netfs();
        test_iscsi();
        test_adapters();
        test_disk();
        test_source();
        test_raid();
        test_raid_refused();
        test_cow();
        test_refused_keys();
        test_refused_values();
        test_long_lists();
        test_read_pointer();
        return 0;
}
