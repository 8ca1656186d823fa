/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/def-util.h"
#include "common/def-xml.h"
#include "common/pool-check.h"
#include "common/pool-extension.h"

/* libvirt's storagepool.rng */
#define FS_NAMESPACE "http://libvirt.org/schemas/storagepool/fs/1.0"

static int read_name(xmlNode *node, void *target, sd_bus_error *error)
{
        return xml_get_name(node, "pool", &((PoolDef *) target)->name, error);
}

static int read_uuid(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        int r;

        r = xml_get_text(node, &def->uuid, error);
        if (r < 0)
                return r;
        return xml_at(node, pool_check_uuid(&def->uuid, error), error);
}

static int read_cow(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        int v, r;

        r = xml_get_choice_attribute(node, "state", true, yes_no_names, &v, error);
        if (r < 0)
                return r;
        def->cow = v ? TRISTATE_YES : TRISTATE_NO;
        return 0;
}

static const XmlElement features_elements[] = {
        {.name = "cow", .attributes = {"state"}, .read = read_cow},
        {},
};

static int read_target_path(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        int r;

        r = xml_get_text(node, &def->target_path, error);
        if (r < 0 || !def->target_path)
                return r;
        return xml_at(node, pool_check_target_path(&def->target_path, error), error);
}

static int read_permissions(xmlNode *node, void *target, sd_bus_error *error)
{
        return xml_read_children(node, permissions_elements, &((PoolDef *) target)->permissions, error);
}

static const XmlElement target_elements[] = {
        {.name = "path", .text = true, .read = read_target_path},
        {.name = "permissions", .nested = true, .read = read_permissions},
        {},
};

static int read_target(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;

        if (!pool_type_info(def->type)->target_path)
                return xml_error(node, error, "a pool of type %s has no <target>",
                                 pool_type_to_string(def->type));
        return xml_read_children(node, target_elements, def, error);
}

static int read_refresh_volume(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;
        int v, r;

        r = xml_get_choice_attribute(node, "allocation", false, refresh_allocation_names + 1, &v, error);
        if (r > 0)
                def->refresh_allocation = (RefreshAllocation) (v + 1);
        return r;
}

static const XmlElement refresh_elements[] = {
        {.name = "volume", .attributes = {"allocation"}, .read = read_refresh_volume},
        {},
};

static int read_refresh(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;

        if (!pool_type_info(def->type)->volume_allocation)
                return xml_error(node, error, "a pool of type %s has no <refresh>",
                                 pool_type_to_string(def->type));
        return xml_read_children(node, refresh_elements, def, error);
}

static int read_mount_option(xmlNode *node, void *target, sd_bus_error *error)
{
        _cleanup_free_ char *name = NULL;
        PoolDef *def = target;
        int r;

        if (strv_length(def->mount_options) >= DEF_LIST_MAX)
                return xml_error(node, error, "more than %u mount options", DEF_LIST_MAX);
        r = xml_get_attribute(node, "name", true, &name, error);
        if (r < 0)
                return r;
        r = xml_at(node, pool_check_mount_option(name, error), error);
        if (r < 0)
                return r;
        return strv_extend(&def->mount_options, name);
}

static const XmlElement mount_options_elements[] = {
        {.name = "option",
         .ns = FS_NAMESPACE,
         .attributes = {"name"},
         .repeat = true,
         .read = read_mount_option},
        {},
};

static int read_mount_options(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolDef *def = target;

        if (!pool_type_info(def->type)->mount_options)
                return xml_error(node, error, "a pool of type %s has no mount options",
                                 pool_type_to_string(def->type));
        return xml_read_children(node, mount_options_elements, def, error);
}

static int read_source(xmlNode *node, void *target, sd_bus_error *error)
{
        int r;

        r = xml_read_children(node, pool_source_elements, target, error);
        if (r < 0)
                return r;
        return xml_at(node, pool_check_source(target, error), error);
}

static const XmlElement pool_elements[] = {
        {.name = "name", .text = true, .read = read_name},
        {.name = "uuid", .text = true, .read = read_uuid},
        {.name = "capacity", .attributes = {"unit"}, .text = true, .read = xml_read_unused_size},
        {.name = "allocation", .attributes = {"unit"}, .text = true, .read = xml_read_unused_size},
        {.name = "available", .attributes = {"unit"}, .text = true, .read = xml_read_unused_size},
        {.name = "features", .children = features_elements},
        {.name = "source", .nested = true, .read = read_source},
        {.name = "target", .nested = true, .read = read_target},
        {.name = "refresh", .nested = true, .read = read_refresh},
        {.name = "mount_opts", .ns = FS_NAMESPACE, .nested = true, .read = read_mount_options},
        {},
};

/* The type decides what the elements may be, so it is read before them. */
static int read_pool(xmlNode *node, void *target, sd_bus_error *error)
{
        _cleanup_free_ char *type = NULL;
        PoolDef *def = target;
        int r;

        r = xml_get_attribute(node, "type", true, &type, error);
        if (r < 0)
                return r;
        def->type = pool_type_from_string(type);
        if (def->type == _POOL_TYPE_INVALID)
                return xml_error(node, error, "unknown pool type '%.64s'", type);
        r = xml_read_children(node, pool_elements, def, error);
        if (r < 0)
                return r;
        r = pool_extensions_read(node, def, error);
        if (r < 0)
                return r;
        return xml_at(node, pool_def_validate(def, error), error);
}

static int parse(PoolType type, const char *xml, size_t n, const XmlElement *root, PoolDef **ret,
                 sd_bus_error *error)
{
        _cleanup_(pool_def_freep) PoolDef *def = NULL;
        _cleanup_(xmlFreeDocp) xmlDoc *doc = NULL;
        int r;

        r = xml_parse(xml, n, root->name, &doc, error);
        if (r < 0)
                return r;
        def = pool_def_new(type);
        if (!def)
                return -ENOMEM;
        r = xml_read_element(xmlDocGetRootElement(doc), root, def, error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(def);
        return 0;
}

int pool_def_parse_xml(const char *xml, size_t n, PoolDef **ret, sd_bus_error *error)
{
        static const XmlElement root = {
                .name = "pool", .attributes = {"type"}, .nested = true, .read = read_pool};

        return parse(_POOL_TYPE_INVALID, xml, n, &root, ret, error);
}

int pool_source_parse_xml(PoolType type, const char *xml, size_t n, PoolDef **ret, sd_bus_error *error)
{
        static const XmlElement root = {.name = "source", .nested = true, .read = read_source};

        return parse(type, xml, n, &root, ret, error);
}

static void write_adapter(XmlWriter *w, const PoolAdapter *a)
{
        if (a->type == ADAPTER_NONE)
                return;
        xml_open(w, "adapter");
        xml_attribute(w, "type", adapter_type_names[a->type]);
        xml_attribute(w, "name", a->name);
        xml_attribute(w, "parent", a->parent);
        if (a->managed_set)
                xml_attribute(w, "managed", yes_no_names[a->managed]);
        xml_attribute(w, "parent_wwnn", a->parent_wwnn);
        xml_attribute(w, "parent_wwpn", a->parent_wwpn);
        xml_attribute(w, "parent_fabric_wwn", a->parent_fabric_wwn);
        xml_attribute(w, "wwnn", a->wwnn);
        xml_attribute(w, "wwpn", a->wwpn);
        if (a->parentaddr) {
                xml_open(w, "parentaddr");
                if (a->parentaddr_unique_id)
                        xml_attributef(w, "unique_id", "%u", a->parentaddr_unique_id);
                xml_open(w, "address");
                xml_attributef(w, "domain", "0x%04x", a->parentaddr_domain);
                xml_attributef(w, "bus", "0x%02x", a->parentaddr_bus);
                xml_attributef(w, "slot", "0x%02x", a->parentaddr_slot);
                xml_attributef(w, "function", "0x%x", a->parentaddr_function);
                xml_close(w);
                xml_close(w);
        }
        xml_close(w);
}

static void write_auth(XmlWriter *w, const PoolAuth *auth)
{
        if (auth->type == AUTH_NONE)
                return;
        xml_open(w, "auth");
        xml_attribute(w, "type", auth_type_names[auth->type]);
        xml_attribute(w, "username", auth->username);
        xml_open(w, "secret");
        xml_attribute(w, "uuid", auth->secret_uuid);
        xml_attribute(w, "usage", auth->secret_usage);
        xml_close(w);
        xml_close(w);
}

static void write_source(XmlWriter *w, const PoolDef *def)
{
        const PoolSource *s = &def->source;

        xml_open(w, "source");
        for (size_t i = 0; i < s->n_hosts; i++) {
                xml_open(w, "host");
                xml_attribute(w, "name", s->hosts[i].name);
                if (s->hosts[i].port)
                        xml_attributef(w, "port", "%u", s->hosts[i].port);
                xml_close(w);
        }
        for (size_t i = 0; i < s->n_devices; i++) {
                xml_open(w, "device");
                xml_attribute(w, "path", s->devices[i].path);
                if (s->devices[i].part_separator_set)
                        xml_attribute(w, "part_separator", yes_no_names[s->devices[i].part_separator]);
                xml_close(w);
        }
        xml_empty(w, "dir", "path", s->dir);
        write_adapter(w, &s->adapter);
        xml_text(w, "name", s->name);
        if (s->initiator_iqn) {
                xml_open(w, "initiator");
                xml_empty(w, "iqn", "name", s->initiator_iqn);
                xml_close(w);
        }
        xml_empty(w, "format", "type", pool_libvirt_format(def));
        xml_empty(w, "protocol", "ver", s->protocol_version);
        write_auth(w, &s->auth);
        xml_empty(w, "vendor", "name", s->vendor);
        xml_empty(w, "product", "name", s->product);
        xml_close(w);
}

static void write_rest(XmlWriter *w, const PoolDef *def)
{
        char *const *option;

        if (def->target_path) {
                xml_open(w, "target");
                xml_text(w, "path", def->target_path);
                permissions_write(w, &def->permissions);
                xml_close(w);
        }
        if (def->refresh_allocation != REFRESH_ALLOCATION_UNSET) {
                xml_open(w, "refresh");
                xml_empty(w, "volume", "allocation", refresh_allocation_names[def->refresh_allocation]);
                xml_close(w);
        }
        if (def->mount_options) {
                xml_open(w, "fs:mount_opts");
                STRV_FOREACH (option, def->mount_options) {
                        xml_empty(w, "fs:option", "name", *option);
                }
                xml_close(w);
        }
}

int pool_def_format_xml(const PoolDef *def, const PoolStatus *status, char **ret)
{
        PoolStatus none = {};
        XmlWriter w;
        int r;

        if (!status)
                status = &none;
        r = xml_writer_start(&w);
        if (r < 0)
                return r;
        xml_open(&w, "pool");
        xml_attribute(&w, "type", pool_type_to_string(def->type));
        xml_attribute(&w, "xmlns:fs", def->mount_options ? FS_NAMESPACE : NULL);
        xml_text(&w, "name", def->name);
        xml_text(&w, "uuid", def->uuid);
        xml_size(&w, "capacity", "bytes", status->capacity);
        xml_size(&w, "allocation", "bytes", status->allocation);
        xml_size(&w, "available", "bytes", status->available);
        if (def->cow != TRISTATE_UNSET) {
                xml_open(&w, "features");
                xml_empty(&w, "cow", "state", yes_no_names[def->cow]);
                xml_close(&w);
        }
        write_source(&w, def);
        write_rest(&w, def);
        pool_extensions_write(&w, def);
        xml_close(&w);
        return xml_writer_finish(&w, ret);
}

int pool_source_format_xml(const PoolDef *def, char **ret)
{
        XmlWriter w;
        int r;

        r = xml_writer_start(&w);
        if (r < 0)
                return r;
        write_source(&w, def);
        return xml_writer_finish(&w, ret);
}

int pool_sources_format_xml(PoolDef *const *defs, size_t n, char **ret)
{
        XmlWriter w;
        int r;

        r = xml_writer_start(&w);
        if (r < 0)
                return r;
        xml_open(&w, "sources");
        for (size_t i = 0; i < n; i++)
                write_source(&w, defs[i]);
        xml_close(&w);
        return xml_writer_finish(&w, ret);
}
