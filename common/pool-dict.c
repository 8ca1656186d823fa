/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "common/bus-dict.h"
#include "common/def-util.h"
#include "common/def-xml.h"
#include "common/pool-check.h"
#include "common/pool-raid.h"

/* What is being read: a value that belongs to devices may come before them. */
typedef struct DictReader {
        PoolDef *def;
        Tristate part_separator;
        bool source_only; /* keys that belong to no source are unknown */
        sd_bus_error *error;
} DictReader;

/* One key: how its value is read into the definition. */
typedef struct DictKey {
        const char *name;
        const char *signature;
        int (*read)(DictReader *d,
                    sd_bus_message *m); /* NULL: a string or number into the field at offset */
        size_t offset;
} DictKey;

/* "" is "none" everywhere in the interface. */
static int read_string(sd_bus_message *m, char **ret)
{
        const char *s;
        int r;

        r = sd_bus_message_read_basic(m, 's', &s);
        if (r < 0)
                return r;
        return free_and_strdup(ret, isempty(s) ? NULL : s);
}

/* A string out of a list whose first entry is "" for none; ret as an int. */
static int read_choice(DictReader *d, sd_bus_message *m, const char *key, const char *const *list, int *ret)
{
        _cleanup_free_ char *known = NULL;
        const char *s;
        int r;

        r = sd_bus_message_read_basic(m, 's', &s);
        if (r < 0)
                return r;
        for (int i = 0; list[i]; i++) {
                if (streq(list[i], s)) {
                        *ret = i;
                        return 0;
                }
        }
        known = def_list_join(list + 1);
        return def_invalid(d->error, "The value '%.100s' of '%s' is none of %s", s, key, strempty(known));
}

static int read_hosts(DictReader *d, sd_bus_message *m)
{
        PoolSource *s = &d->def->source;
        const char *name;
        uint16_t port;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(sq)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "(sq)", &name, &port)) > 0) {
                PoolHost *grown;

                if (s->n_hosts >= DEF_LIST_MAX)
                        return def_invalid(d->error, "'source-hosts' has more than %u entries",
                                           DEF_LIST_MAX);
                grown = reallocarray(s->hosts, s->n_hosts + 1, sizeof(PoolHost));
                if (!grown)
                        return -ENOMEM;
                s->hosts = grown;
                grown[s->n_hosts] = (PoolHost){.name = strdup(name), .port = port};
                if (!grown[s->n_hosts].name)
                        return -ENOMEM;
                s->n_hosts++;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* An array of strings of bounded length into a list. */
static int read_strv(DictReader *d, sd_bus_message *m, const char *key, char ***ret)
{
        _cleanup_strv_free_ char **list = NULL;
        const char *s;
        size_t n = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "s");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read_basic(m, 's', &s)) > 0) {
                if (++n > DEF_LIST_MAX)
                        return def_invalid(d->error, "'%s' has more than %u entries", key, DEF_LIST_MAX);
                r = strv_extend(&list, s);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return sd_bus_message_exit_container(m);
}

static int read_devices(DictReader *d, sd_bus_message *m)
{
        _cleanup_strv_free_ char **list = NULL;
        PoolSource *s = &d->def->source;
        size_t n;
        int r;

        r = read_strv(d, m, "source-devices", &list);
        n = strv_length(list);
        if (r < 0 || n == 0)
                return r;
        s->devices = calloc(n, sizeof(PoolDevice));
        if (!s->devices)
                return -ENOMEM;
        for (; s->n_devices < n; s->n_devices++)
                s->devices[s->n_devices].path = TAKE_PTR(list[s->n_devices]);
        return 0;
}

static int read_mount_options(DictReader *d, sd_bus_message *m)
{
        return read_strv(d, m, "mount-options", &d->def->mount_options);
}

static int read_tristate(sd_bus_message *m, Tristate *ret)
{
        int b, r;

        r = sd_bus_message_read_basic(m, 'b', &b);
        if (r < 0)
                return r;
        *ret = b ? TRISTATE_YES : TRISTATE_NO;
        return 0;
}

static int read_cow(DictReader *d, sd_bus_message *m)
{
        return read_tristate(m, &d->def->cow);
}

static int read_part_separator(DictReader *d, sd_bus_message *m)
{
        return read_tristate(m, &d->part_separator);
}

static int read_auth_type(DictReader *d, sd_bus_message *m)
{
        int v, r;

        r = read_choice(d, m, "auth-type", auth_type_names, &v);
        if (r < 0)
                return r;
        d->def->source.auth.type = (AuthType) v;
        return 0;
}

static int read_volume_allocation(DictReader *d, sd_bus_message *m)
{
        int v, r;

        r = read_choice(d, m, "volume-allocation", refresh_allocation_names, &v);
        if (r < 0)
                return r;
        d->def->refresh_allocation = (RefreshAllocation) v;
        return 0;
}

/* What reads as a UUID is one; all else is a usage. A usage that reads as a UUID is refused everywhere. */
static int read_secret(DictReader *d, sd_bus_message *m)
{
        PoolAuth *auth = &d->def->source.auth;
        _cleanup_free_ char *secret = NULL;
        char canonical[37];
        int r;

        r = read_string(m, &secret);
        if (r < 0 || !secret)
                return r;
        if (uuid_normalize(secret, canonical) >= 0)
                auth->secret_uuid = TAKE_PTR(secret);
        else
                auth->secret_usage = TAKE_PTR(secret);
        return 0;
}

/* The adapter's parts that are plain strings. */
static const struct {
        const char *key;
        size_t offset;
} adapter_strings[] = {
        {"name", offsetof(PoolAdapter, name)},
        {"parent", offsetof(PoolAdapter, parent)},
        {"parent-wwnn", offsetof(PoolAdapter, parent_wwnn)},
        {"parent-wwpn", offsetof(PoolAdapter, parent_wwpn)},
        {"parent-fabric-wwn", offsetof(PoolAdapter, parent_fabric_wwn)},
        {"wwnn", offsetof(PoolAdapter, wwnn)},
        {"wwpn", offsetof(PoolAdapter, wwpn)},
};

static char **adapter_string(const PoolAdapter *a, size_t i)
{
        return (char **) ((char *) (uintptr_t) a + adapter_strings[i].offset);
}

static int set_adapter_type(DictReader *d, PoolAdapter *a, const char *value)
{
        for (int i = 1; adapter_type_names[i]; i++) {
                if (streq(adapter_type_names[i], value)) {
                        a->type = (AdapterType) i;
                        return 0;
                }
        }
        return def_invalid(d->error, "The adapter's type '%.100s' is neither scsi_host nor fc_host", value);
}

/* %n tells where the last number ended: there has to be nothing after it. sscanf() alone would take signs.
 */
static int set_adapter_address(DictReader *d, PoolAdapter *a, const char *value)
{
        int end = -1;

        if (sscanf(value, "%8" SCNx32 ":%2" SCNx32 ":%2" SCNx32 ".%1" SCNx32 "%n", &a->parentaddr_domain,
                   &a->parentaddr_bus, &a->parentaddr_slot, &a->parentaddr_function, &end) < 4 ||
            end < 0 || value[end] || value[strspn(value, "0123456789abcdefABCDEF:.")])
                return def_invalid(d->error,
                                   "The adapter's address '%.100s' is not of the form 0000:00:1f.2", value);
        a->parentaddr = true;
        return 0;
}

static int set_adapter_unique_id(DictReader *d, PoolAdapter *a, const char *value)
{
        unsigned long long v;
        char *end;

        v = strtoull(value, &end, 10);
        if (value[strspn(value, "0123456789")] || *end || v < 1 || v > UINT32_MAX)
                return def_invalid(d->error,
                                   "The adapter's unique-id '%.100s' is not a number of at least 1", value);
        a->parentaddr_unique_id = (uint32_t) v;
        return 0;
}

static int set_adapter_managed(DictReader *d, PoolAdapter *a, const char *value)
{
        if (!streq(value, "yes") && !streq(value, "no"))
                return def_invalid(d->error, "The adapter's value '%.100s' of managed is neither yes nor no",
                                   value);
        a->managed_set = true;
        a->managed = streq(value, "yes");
        return 0;
}

static int read_adapter_entry(DictReader *d, const char *key, const char *value)
{
        PoolAdapter *a = &d->def->source.adapter;

        if (streq(key, "type"))
                return set_adapter_type(d, a, value);
        if (streq(key, "managed"))
                return set_adapter_managed(d, a, value);
        if (streq(key, "address"))
                return set_adapter_address(d, a, value);
        if (streq(key, "unique-id"))
                return set_adapter_unique_id(d, a, value);
        for (size_t i = 0; i < ELEMENTSOF(adapter_strings); i++) {
                if (streq(adapter_strings[i].key, key))
                        return free_and_strdup(adapter_string(a, i), isempty(value) ? NULL : value);
        }
        return def_invalid(d->error, "Unknown key '%.100s' in 'adapter'", key);
}

static int read_adapter(DictReader *d, sd_bus_message *m)
{
        PoolAdapter *a = &d->def->source.adapter;
        const char *key, *value;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{ss}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "{ss}", &key, &value)) > 0) {
                /* As in XML, a type that is not given is the oldest one. */
                if (a->type == ADAPTER_NONE)
                        a->type = ADAPTER_SCSI_HOST;
                r = read_adapter_entry(d, key, value);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (a->parentaddr_unique_id && !a->parentaddr)
                return def_invalid(d->error, "The adapter's unique-id needs an address");
        return sd_bus_message_exit_container(m);
}

static int read_raid(DictReader *d, sd_bus_message *m)
{
        return pool_raid_read_dict(m, &d->def->raid, d->error);
}

/* So many of them, the first ones, belong to a source. */
#define SOURCE_KEYS 14

static const DictKey dict_keys[] = {
        {"source-hosts", "a(sq)", read_hosts, 0},
        {"source-devices", "as", read_devices, 0},
        {"part-separator", "b", read_part_separator, 0},
        {"source-dir", "s", NULL, offsetof(PoolDef, source.dir)},
        {"source-name", "s", NULL, offsetof(PoolDef, source.name)},
        {"source-format", "s", NULL, offsetof(PoolDef, source.format)},
        {"protocol-version", "s", NULL, offsetof(PoolDef, source.protocol_version)},
        {"vendor", "s", NULL, offsetof(PoolDef, source.vendor)},
        {"product", "s", NULL, offsetof(PoolDef, source.product)},
        {"initiator", "s", NULL, offsetof(PoolDef, source.initiator_iqn)},
        {"auth-type", "s", read_auth_type, 0},
        {"auth-username", "s", NULL, offsetof(PoolDef, source.auth.username)},
        {"secret", "s", read_secret, 0},
        {"adapter", "a{ss}", read_adapter, 0},
        {"target-path", "s", NULL, offsetof(PoolDef, target_path)},
        {"mode", "u", NULL, offsetof(PoolDef, permissions.mode)},
        {"owner", "u", NULL, offsetof(PoolDef, permissions.owner)},
        {"group", "u", NULL, offsetof(PoolDef, permissions.group)},
        {"label", "s", NULL, offsetof(PoolDef, permissions.label)},
        {"cow", "b", read_cow, 0},
        {"volume-allocation", "s", read_volume_allocation, 0},
        {"mount-options", "as", read_mount_options, 0},
        {"raid", "a{sv}", read_raid, 0},
};

static int read_value(DictReader *d, const DictKey *key, sd_bus_message *m)
{
        char *field = (char *) d->def + key->offset;

        if (key->read)
                return key->read(d, m);
        if (streq(key->signature, "u"))
                return sd_bus_message_read_basic(m, 'u', field);
        return read_string(m, (char **) field);
}

static int read_entry(DictReader *d, uint64_t *seen, sd_bus_message *m)
{
        const char *name, *contents;
        const DictKey *key = NULL;
        char type;
        int r;

        r = sd_bus_message_read_basic(m, 's', &name);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(dict_keys) && !key; i++)
                key = streq(dict_keys[i].name, name) ? &dict_keys[i] : NULL;
        if (!key || (d->source_only && key - dict_keys >= SOURCE_KEYS))
                return def_invalid(d->error, "Unknown key '%.100s' in the %s", name,
                                   d->source_only ? "source" : "definition");
        if (*seen & UINT64_C(1) << (key - dict_keys))
                return def_invalid(d->error, "The key '%s' is given twice in the definition", name);
        *seen |= UINT64_C(1) << (key - dict_keys);
        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        if (!streq(contents, key->signature))
                return def_invalid(d->error,
                                   "The key '%s' of the definition has type '%.32s' instead of '%s'", name,
                                   contents, key->signature);
        r = sd_bus_message_enter_container(m, 'v', contents);
        if (r < 0)
                return r;
        r = read_value(d, key, m);
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

static int read_dict(DictReader *d, sd_bus_message *m)
{
        uint64_t seen = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = read_entry(d, &seen, m);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

static void spread_part_separator(DictReader *d)
{
        PoolSource *s = &d->def->source;

        for (size_t i = 0; d->part_separator != TRISTATE_UNSET && i < s->n_devices; i++) {
                s->devices[i].part_separator_set = true;
                s->devices[i].part_separator = d->part_separator == TRISTATE_YES;
        }
}

int pool_source_read_dict(sd_bus_message *m, PoolType type, PoolDef **ret, sd_bus_error *error)
{
        _cleanup_(pool_def_freep) PoolDef *def = pool_def_new(type);
        DictReader d = {.def = def, .part_separator = TRISTATE_UNSET, .source_only = true, .error = error};
        int r;

        if (!def)
                return -ENOMEM;
        r = read_dict(&d, m);
        if (r < 0)
                return r;
        spread_part_separator(&d);
        r = pool_check_source(def, error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(def);
        return 0;
}

int pool_def_read_dict(sd_bus_message *m, const char *name, PoolType type, PoolDef **ret,
                       sd_bus_error *error)
{
        _cleanup_(pool_def_freep) PoolDef *def = pool_def_new(type);
        DictReader d = {.def = def, .part_separator = TRISTATE_UNSET, .error = error};
        int r;

        if (!def)
                return -ENOMEM;
        r = free_and_strdup(&def->name, isempty(name) ? NULL : name);
        if (r < 0)
                return r;
        r = read_dict(&d, m);
        if (r < 0)
                return r;
        spread_part_separator(&d);
        r = pool_def_validate(def, error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(def);
        return 0;
}

static int append_string(sd_bus_message *m, const char *key, const char *value)
{
        return isempty(value) ? 0 : sd_bus_message_append(m, "{sv}", key, "s", value);
}

static int append_id(sd_bus_message *m, const char *key, uint32_t value)
{
        return value == ID_UNSET ? 0 : sd_bus_message_append(m, "{sv}", key, "u", value);
}

static int append_hosts(sd_bus_message *m, const PoolSource *s)
{
        int r;

        if (s->n_hosts == 0)
                return 0;
        r = bus_dict_open_array(m, "source-hosts", "a(sq)");
        for (size_t i = 0; r >= 0 && i < s->n_hosts; i++)
                r = sd_bus_message_append(m, "(sq)", s->hosts[i].name, s->hosts[i].port);
        return r < 0 ? r : bus_dict_close_array(m);
}

static int append_devices(sd_bus_message *m, const PoolSource *s)
{
        int r;

        if (s->n_devices == 0)
                return 0;
        r = bus_dict_open_array(m, "source-devices", "as");
        for (size_t i = 0; r >= 0 && i < s->n_devices; i++)
                r = sd_bus_message_append(m, "s", s->devices[i].path);
        if (r >= 0)
                r = bus_dict_close_array(m);
        if (r < 0 || !s->devices[0].part_separator_set)
                return r;
        return sd_bus_message_append(m, "{sv}", "part-separator", "b", (int) s->devices[0].part_separator);
}

static int append_mount_options(sd_bus_message *m, char *const *options)
{
        char *const *option;
        int r;

        if (!options)
                return 0;
        r = bus_dict_open_array(m, "mount-options", "as");
        STRV_FOREACH (option, options) {
                if (r >= 0)
                        r = sd_bus_message_append(m, "s", *option);
        }
        return r < 0 ? r : bus_dict_close_array(m);
}

static int append_parentaddr(sd_bus_message *m, const PoolAdapter *a)
{
        char text[32];
        int r;

        if (!a->parentaddr)
                return 0;
        (void) snprintf(text, sizeof(text), "%04x:%02x:%02x.%x", a->parentaddr_domain, a->parentaddr_bus,
                        a->parentaddr_slot, a->parentaddr_function);
        r = sd_bus_message_append(m, "{ss}", "address", text);
        if (r < 0 || a->parentaddr_unique_id == 0)
                return r;
        (void) snprintf(text, sizeof(text), "%" PRIu32, a->parentaddr_unique_id);
        return sd_bus_message_append(m, "{ss}", "unique-id", text);
}

static int append_adapter(sd_bus_message *m, const PoolAdapter *a)
{
        int r;

        if (a->type == ADAPTER_NONE)
                return 0;
        r = bus_dict_open_array(m, "adapter", "a{ss}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{ss}", "type", adapter_type_names[a->type]);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(adapter_strings); i++) {
                const char *value = *adapter_string(a, i);

                r = value ? sd_bus_message_append(m, "{ss}", adapter_strings[i].key, value) : 0;
        }
        if (r >= 0 && a->managed_set)
                r = sd_bus_message_append(m, "{ss}", "managed", yes_no_names[a->managed]);
        if (r >= 0)
                r = append_parentaddr(m, a);
        return r < 0 ? r : bus_dict_close_array(m);
}

static int append_strings(sd_bus_message *m, const PoolDef *def)
{
        const PoolAuth *auth = &def->source.auth;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(dict_keys); i++) {
                const DictKey *key = &dict_keys[i];

                if (key->read)
                        continue;
                if (streq(key->signature, "u"))
                        r = append_id(m, key->name, *(const uint32_t *) ((const char *) def + key->offset));
                else
                        r = append_string(m, key->name, *(char *const *) ((const char *) def + key->offset));
                if (r < 0)
                        return r;
        }
        r = append_string(m, "auth-type", auth_type_names[auth->type]);
        if (r >= 0)
                r = append_string(m, "secret", auth->secret_uuid ? auth->secret_uuid : auth->secret_usage);
        if (r >= 0)
                r = append_string(m, "volume-allocation", refresh_allocation_names[def->refresh_allocation]);
        return r;
}

int pool_def_append_dict(const PoolDef *def, sd_bus_message *m)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_strings(m, def);
        if (r >= 0)
                r = append_hosts(m, &def->source);
        if (r >= 0)
                r = append_devices(m, &def->source);
        if (r >= 0)
                r = append_adapter(m, &def->source.adapter);
        if (r >= 0)
                r = append_mount_options(m, def->mount_options);
        if (r >= 0)
                r = pool_raid_append_entry(&def->raid, m);
        if (r >= 0 && def->cow != TRISTATE_UNSET)
                r = sd_bus_message_append(m, "{sv}", "cow", "b", (int) def->cow);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(m);
}
