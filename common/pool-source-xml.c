/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/def-util.h"
#include "common/def-xml.h"
#include "common/pool-check.h"

/* That the type's source has such a part at all: otherwise people look for a mistake in its contents. */
static int check_key(const xmlNode *node, const PoolDef *def, PoolSourceKey key, sd_bus_error *error)
{
        const PoolTypeInfo *info = pool_type_info(def->type);

        if (info->source_keys & key)
                return 0;
        return xml_error(node, error, "the <source> of a pool of type %s has no <%s>", info->name,
                         (const char *) node->name);
}

static int read_host(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        PoolSource *s = &def->source;
        _cleanup_free_ char *port = NULL;
        PoolHost *grown;
        uint64_t v;
        int r;

        r = check_key(node, def, POOL_SOURCE_HOST, error);
        if (r < 0)
                return r;
        if (s->n_hosts >= DEF_LIST_MAX)
                return xml_error(node, error, "more than %u hosts", DEF_LIST_MAX);
        grown = reallocarray(s->hosts, s->n_hosts + 1, sizeof(PoolHost));
        if (!grown)
                return -ENOMEM;
        s->hosts = grown;
        grown[s->n_hosts] = (PoolHost){};
        r = xml_get_attribute(node, "name", true, &grown[s->n_hosts].name, error);
        if (r < 0)
                return r;
        s->n_hosts++;
        r = xml_get_attribute(node, "port", false, &port, error);
        if (r < 0)
                return r;
        /* -1 is libvirt's own "not given" */
        if (port && !streq(port, "-1")) {
                r = xml_get_number_attribute(node, "port", true, 10, UINT16_MAX, &v, error);
                if (r < 0)
                        return r;
                grown[s->n_hosts - 1].port = (uint16_t) v;
        }
        return xml_at(node, pool_check_host(&grown[s->n_hosts - 1], error), error);
}

/* A disk's free space: libvirt's own finding, which is not a part of the definition. */
static int read_free_extent(xmlNode *node, void *target, sd_bus_error *error)
{
        uint64_t unused;
        int r;

        r = xml_get_number_attribute(node, "start", true, 10, UINT64_MAX, &unused, error);
        if (r < 0)
                return r;
        return xml_get_number_attribute(node, "end", true, 10, UINT64_MAX, &unused, error);
}

static const XmlElement device_elements[] = {
        {.name = "freeExtent", .attributes = {"start", "end"}, .repeat = true, .read = read_free_extent},
        {},
};

static int read_yes_no(const xmlNode *node, const char *name, bool *ret_set, bool *ret, sd_bus_error *error)
{
        int v, r;

        r = xml_get_choice_attribute(node, name, false, yes_no_names, &v, error);
        if (r <= 0)
                return r;
        *ret_set = true;
        *ret = v;
        return 0;
}

static int read_device(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        PoolSource *s = &def->source;
        PoolDevice *grown, *d;
        int r;

        r = check_key(node, def, POOL_SOURCE_DEVICE, error);
        if (r < 0)
                return r;
        if (s->n_devices >= DEF_LIST_MAX)
                return xml_error(node, error, "more than %u devices", DEF_LIST_MAX);
        if (s->n_devices > 0 && !pool_type_info(def->type)->many_devices)
                return xml_error(node, error, "a pool of type %s has one source device only",
                                 pool_type_to_string(def->type));
        grown = reallocarray(s->devices, s->n_devices + 1, sizeof(PoolDevice));
        if (!grown)
                return -ENOMEM;
        s->devices = grown;
        d = &grown[s->n_devices];
        *d = (PoolDevice){};
        r = xml_get_attribute(node, "path", true, &d->path, error);
        if (r < 0)
                return r;
        s->n_devices++;
        r = read_yes_no(node, "part_separator", &d->part_separator_set, &d->part_separator, error);
        if (r < 0)
                return r;
        r = xml_at(node, pool_check_device(def->type, d, error), error);
        if (r < 0)
                return r;
        return xml_read_children(node, device_elements, NULL, error);
}

static int read_dir(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        int r;

        r = check_key(node, def, POOL_SOURCE_DIR, error);
        if (r < 0)
                return r;
        return xml_get_attribute(node, "path", true, &def->source.dir, error);
}

static int read_name(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        int r;

        r = check_key(node, def, POOL_SOURCE_NAME, error);
        if (r < 0)
                return r;
        return xml_get_text(node, &def->source.name, error);
}

static int read_vendor_part(xmlNode *node, PoolDef *def, char **part, sd_bus_error *error)
{
        int r;

        r = check_key(node, def, POOL_SOURCE_VENDOR, error);
        if (r < 0)
                return r;
        if (*part)
                return xml_error(node, error, "a second <%s>", (const char *) node->name);
        return xml_get_attribute(node, "name", false, part, error);
}

static int read_vendor(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;

        return read_vendor_part(node, def, &def->source.vendor, error);
}

static int read_product(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;

        return read_vendor_part(node, def, &def->source.product, error);
}

/* libvirt's schema has these within <format> for disk and logical pools, too. */
static const XmlElement format_elements[] = {
        {.name = "vendor", .attributes = {"name"}, .read = read_vendor},
        {.name = "product", .attributes = {"name"}, .read = read_product},
        {},
};

static int read_format(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        int r;

        r = check_key(node, def, POOL_SOURCE_FORMAT, error);
        if (r < 0)
                return r;
        r = xml_get_attribute(node, "type", true, &def->source.format, error);
        if (r < 0)
                return r;
        r = xml_at(node, pool_check_format(def->type, def->source.format, error), error);
        if (r < 0)
                return r;
        return xml_read_children(node, format_elements, def, error);
}

static int read_protocol(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;

        if (def->type != POOL_NETFS)
                return xml_error(node, error, "the <source> of a pool of type %s has no <protocol>",
                                 pool_type_to_string(def->type));
        return xml_get_attribute(node, "ver", true, &def->source.protocol_version, error);
}

static int read_iqn(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;

        return xml_get_attribute(node, "name", true, &def->source.initiator_iqn, error);
}

static const XmlElement initiator_elements[] = {
        {.name = "iqn", .attributes = {"name"}, .read = read_iqn},
        {},
};

static int read_initiator(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        int r;

        r = check_key(node, def, POOL_SOURCE_INITIATOR, error);
        if (r < 0)
                return r;
        r = xml_read_children(node, initiator_elements, def, error);
        if (r < 0)
                return r;
        return def->source.initiator_iqn ? 0 : xml_error(node, error, "<initiator> has no <iqn>");
}

static int read_secret(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolAuth *auth = target;

        return secret_read(node, &auth->secret_uuid, &auth->secret_usage, error);
}

static const XmlElement auth_elements[] = {
        {.name = "secret", .attributes = {"uuid", "usage"}, .read = read_secret},
        {},
};

static int read_auth(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        PoolAuth *auth = &def->source.auth;
        int v, r;

        r = check_key(node, def, POOL_SOURCE_AUTH, error);
        if (r < 0)
                return r;
        r = xml_get_choice_attribute(node, "type", true, auth_type_names + 1, &v, error);
        if (r < 0)
                return r;
        auth->type = (AuthType) (v + 1);
        r = xml_get_attribute(node, "username", true, &auth->username, error);
        if (r < 0)
                return r;
        r = xml_read_children(node, auth_elements, auth, error);
        if (r < 0)
                return r;
        return xml_at(node, pool_check_auth(def->type, auth, error), error);
}

/* A number of a PCI address: decimal, or hexadecimal after 0x. */
static int read_pci_number(const xmlNode *node, const char *name, uint64_t max, uint32_t *ret,
                           sd_bus_error *error)
{
        uint64_t v;
        int r;

        r = xml_get_number_attribute(node, name, false, 0, max, &v, error);
        if (r > 0)
                *ret = (uint32_t) v;
        return r;
}

static int read_address(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolAdapter *a = target;
        int r;

        r = read_pci_number(node, "domain", UINT32_MAX, &a->parentaddr_domain, error);
        if (r < 0)
                return r;
        r = read_pci_number(node, "bus", 0xff, &a->parentaddr_bus, error);
        if (r < 0)
                return r;
        r = read_pci_number(node, "slot", 0x1f, &a->parentaddr_slot, error);
        if (r < 0)
                return r;
        r = read_pci_number(node, "function", 7, &a->parentaddr_function, error);
        if (r < 0)
                return r;
        a->parentaddr = true;
        return 0;
}

static const XmlElement parentaddr_elements[] = {
        {.name = "address", .attributes = {"domain", "bus", "slot", "function"}, .read = read_address},
        {},
};

static int read_parentaddr(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolAdapter *a = target;
        uint64_t v = 0;
        int r;

        r = xml_get_number_attribute(node, "unique_id", false, 10, UINT32_MAX, &v, error);
        if (r < 0)
                return r;
        if (r > 0 && v == 0)
                return xml_error(node, error, "attribute 'unique_id' must be at least 1");
        a->parentaddr_unique_id = (uint32_t) v;
        r = xml_read_children(node, parentaddr_elements, a, error);
        if (r < 0)
                return r;
        return a->parentaddr ? 0 : xml_error(node, error, "<parentaddr> has no <address>");
}

static const XmlElement adapter_elements[] = {
        {.name = "parentaddr", .attributes = {"unique_id"}, .nested = true, .read = read_parentaddr},
        {},
};

static int read_adapter_names(xmlNode *node, PoolAdapter *a, sd_bus_error *error)
{
        const struct {
                const char *attribute;
                char **value;
        } names[] = {
                {"name", &a->name},
                {"parent", &a->parent},
                {"parent_wwnn", &a->parent_wwnn},
                {"parent_wwpn", &a->parent_wwpn},
                {"parent_fabric_wwn", &a->parent_fabric_wwn},
                {"wwnn", &a->wwnn},
                {"wwpn", &a->wwpn},
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                int r = xml_get_attribute(node, names[i].attribute, false, names[i].value, error);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_adapter(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        PoolAdapter *a = &def->source.adapter;
        int v = 0, r;

        r = check_key(node, def, POOL_SOURCE_ADAPTER, error);
        if (r < 0)
                return r;
        /* libvirt's older XML has no type here. */
        r = xml_get_choice_attribute(node, "type", false, adapter_type_names + 1, &v, error);
        if (r < 0)
                return r;
        a->type = (AdapterType) (v + 1);
        r = read_adapter_names(node, a, error);
        if (r < 0)
                return r;
        r = read_yes_no(node, "managed", &a->managed_set, &a->managed, error);
        if (r < 0)
                return r;
        r = xml_read_children(node, adapter_elements, a, error);
        if (r < 0)
                return r;
        return xml_at(node, pool_check_adapter(a, error), error);
}

const XmlElement pool_source_elements[] = {
        {.name = "host", .attributes = {"name", "port"}, .repeat = true, .read = read_host},
        {.name = "device",
         .attributes = {"path", "part_separator"},
         .repeat = true,
         .nested = true,
         .read = read_device},
        {.name = "dir", .attributes = {"path"}, .read = read_dir},
        {.name = "name", .text = true, .read = read_name},
        {.name = "adapter",
         .attributes = {"type", "name", "parent", "managed", "parent_wwnn", "parent_wwpn",
                        "parent_fabric_wwn", "wwnn", "wwpn"},
         .nested = true,
         .read = read_adapter},
        {.name = "initiator", .nested = true, .read = read_initiator},
        {.name = "format", .attributes = {"type"}, .nested = true, .read = read_format},
        {.name = "protocol", .attributes = {"ver"}, .read = read_protocol},
        {.name = "auth", .attributes = {"type", "username"}, .nested = true, .read = read_auth},
        {.name = "vendor", .attributes = {"name"}, .read = read_vendor},
        {.name = "product", .attributes = {"name"}, .read = read_product},
        {},
};
