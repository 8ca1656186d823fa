/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/capabilities.h"

#include "common/xml-writer.h"
#include "service/manager.h"

static void write_enum(XmlWriter *w, const char *name, const char *const *values)
{
        xml_open(w, "enum");
        xml_attribute(w, "name", name);
        for (size_t i = 0; values && values[i]; i++)
                xml_text(w, "value", values[i]);
        xml_close(w);
}

static void write_type(XmlWriter *w, const PoolTypeInfo *info, bool supported)
{
        xml_open(w, "pool");
        xml_attribute(w, "type", info->name);
        xml_attribute(w, "supported", supported ? "yes" : "no");
        if (supported && info->source_formats) {
                xml_open(w, "poolOptions");
                xml_empty(w, "defaultFormat", "type", info->default_format);
                write_enum(w, "sourceFormatType", info->source_formats);
                xml_close(w);
        }
        if (supported && info->volume_formats) {
                xml_open(w, "volOptions");
                xml_empty(w, "defaultFormat", "type", info->default_volume_format);
                write_enum(w, "targetFormatType", info->volume_formats);
                xml_close(w);
        }
        xml_close(w);
}

int capabilities_xml(const Manager *m, char **ret)
{
        XmlWriter w;
        int r;

        r = xml_writer_start(&w);
        if (r < 0)
                return r;
        xml_open(&w, "storagepoolCapabilities");
        for (PoolType t = 0; t < _POOL_TYPE_MAX; t++)
                write_type(&w, pool_type_info(t), m->abilities[t].available);
        xml_close(&w);
        return xml_writer_finish(&w, ret);
}

static int append_strv(sd_bus_message *reply, const char *key, const char *const *values)
{
        int r;

        r = sd_bus_message_open_container(reply, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", key);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_append_strv(reply, (char **) values);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_type(sd_bus_message *reply, const PoolTypeInfo *info, const TypeAbility *ability)
{
        static const struct {
                PoolSourceKey key;
                const char *name;
        } source_keys[] = {
                {POOL_SOURCE_HOST, "source-hosts"},    {POOL_SOURCE_DEVICE, "source-devices"},
                {POOL_SOURCE_DIR, "source-dir"},       {POOL_SOURCE_NAME, "source-name"},
                {POOL_SOURCE_ADAPTER, "adapter"},      {POOL_SOURCE_INITIATOR, "initiator"},
                {POOL_SOURCE_FORMAT, "source-format"}, {POOL_SOURCE_AUTH, "auth-type"},
        };
        const char *keys[ELEMENTSOF(source_keys) + 2];
        size_t n = 0;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(source_keys); i++) {
                if (info->source_keys & source_keys[i].key)
                        keys[n++] = source_keys[i].name;
        }
        if (info->raid)
                keys[n++] = "raid";
        keys[n] = NULL;
        r = sd_bus_message_open_container(reply, 'e', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", info->name);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = append_strv(reply, "operations", (const char *const *) ability->operations);
        if (r >= 0)
                r = append_strv(reply, "source-formats", info->source_formats);
        if (r >= 0)
                r = append_strv(reply, "volume-formats", info->volume_formats);
        if (r >= 0)
                r = append_strv(reply, "source-keys", keys);
        if (r >= 0)
                r = append_strv(reply, "missing-tools", (const char *const *) ability->missing_tools);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

int capabilities_get_pool_types(sd_bus *bus, const char *path, const char *interface, const char *property,
                                sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        Manager *m = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sa{sv}}");
        for (PoolType t = 0; r >= 0 && t < _POOL_TYPE_MAX; t++) {
                if (m->abilities[t].available)
                        r = append_type(reply, pool_type_info(t), &m->abilities[t]);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}
