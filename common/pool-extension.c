/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/pool-extension.h"

#include <inttypes.h>

#include "common/def-util.h"
#include "common/pool-check.h"
#include "common/pool-raid.h"

#define INSTRUCTION "storaged"

/* A file system that storagepool.rng does not know. */
static bool is_own_format(const PoolDef *def)
{
        return def->type == POOL_FS && streq(strempty(def->source.format), "btrfs");
}

const char *pool_libvirt_format(const PoolDef *def)
{
        return is_own_format(def) ? "auto" : def->source.format;
}

static int read_device(xmlNode *node, void *target, sd_bus_error *error)
{
        _cleanup_free_ char *path = NULL;
        int r;

        r = xml_get_attribute(node, "path", true, &path, error);
        if (r < 0)
                return r;
        return xml_at(node, pool_raid_add_member(target, path, error), error);
}

static const XmlElement raid_elements[] = {
        {.name = "device", .attributes = {"path"}, .repeat = true, .read = read_device},
        {},
};

static int read_raid(xmlNode *node, void *target, sd_bus_error *error)
{
        PoolRaid *raid = &((PoolDef *) target)->raid;
        uint64_t spares = 0;
        int r;

        if (raid->level)
                return xml_error(node, error, "a second <raid>");
        r = xml_get_attribute(node, "level", true, &raid->level, error);
        if (r < 0)
                return r;
        r = xml_get_number_attribute(node, "spares", false, 10, DEF_LIST_MAX, &spares, error);
        if (r < 0)
                return r;
        raid->spares = (uint32_t) spares;
        r = xml_get_number_attribute(node, "chunk-size", false, 10, UINT64_MAX, &raid->chunk_size, error);
        if (r < 0)
                return r;
        return xml_read_children(node, raid_elements, raid, error);
}

static int read_format(xmlNode *node, void *target, sd_bus_error *error)
{
        _cleanup_free_ char *format = NULL;
        PoolDef *def = target;
        int r;

        r = xml_get_attribute(node, "type", true, &format, error);
        if (r < 0)
                return r;
        if (def->source.format && !streq(def->source.format, "auto"))
                return xml_error(node, error, "the format '%.64s' besides the source's own, '%.64s'", format,
                                 def->source.format);
        r = xml_at(node, pool_check_format(def->type, format, error), error);
        if (r < 0)
                return r;
        def_take_string(&def->source.format, TAKE_PTR(format));
        return 0;
}

static const XmlElement extensions[] = {
        {.name = "raid", .attributes = {"level", "spares", "chunk-size"}, .nested = true, .read = read_raid},
        {.name = "format", .attributes = {"type"}, .read = read_format},
        {},
};

static int read_instruction(const char *text, PoolDef *def, sd_bus_error *error)
{
        _cleanup_(xmlFreeDocp) xmlDoc *doc = NULL;
        const XmlElement *row;
        xmlNode *root;
        int r;

        r = xml_parse(text, strlen(text), NULL, &doc, error);
        if (r < 0)
                return r;
        root = xmlDocGetRootElement(doc);
        for (row = extensions; row->name; row++) {
                if (streq(row->name, (const char *) root->name))
                        return xml_read_element(root, row, def, error);
        }
        return xml_error(root, error, "unknown element <%.64s>", (const char *) root->name);
}

static bool is_ours(const xmlNode *node)
{
        return node->type == XML_PI_NODE && streq((const char *) node->name, INSTRUCTION);
}

/* What is said elsewhere would be passed over in silence. The reader has capped the depth. */
static int check_places(const xmlNode *first, const xmlNode *pool, sd_bus_error *error)
{
        for (const xmlNode *c = first; c; c = c->next) {
                int r = 0;

                if (is_ours(c) && c->parent != pool)
                        return def_error(error, STORAGE_ERROR_INVALID_XML, -EINVAL,
                                         "line %ld: <?" INSTRUCTION
                                         "?> belongs into <pool>, beside its elements",
                                         xmlGetLineNo(c));
                if (c->type == XML_ELEMENT_NODE)
                        r = check_places(c->children, pool, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int pool_extensions_read(xmlNode *pool, PoolDef *def, sd_bus_error *error)
{
        int r;

        r = check_places(pool->doc->children, pool, error);
        if (r < 0)
                return r;
        for (const xmlNode *c = pool->children; c; c = c->next) {
                _cleanup_bus_error_free_ sd_bus_error inner = SD_BUS_ERROR_NULL;

                if (!is_ours(c))
                        continue;
                r = read_instruction(strempty((const char *) c->content), def, &inner);
                /* Lines are counted from the instruction on. */
                if (r < 0 && inner.message)
                        return def_error(error, inner.name, r, "line %ld: in <?" INSTRUCTION "?>: %s",
                                         xmlGetLineNo(c), inner.message);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void write_raid(XmlWriter *w, const PoolRaid *raid)
{
        xml_open(w, "raid");
        xml_attribute(w, "level", raid->level);
        if (raid->spares > 0)
                xml_attributef(w, "spares", "%" PRIu32, raid->spares);
        if (raid->chunk_size > 0)
                xml_attributef(w, "chunk-size", "%" PRIu64, raid->chunk_size);
        for (size_t i = 0; i < raid->n_members; i++)
                xml_empty(w, "device", "path", raid->members[i].path);
        xml_close(w);
}

void pool_extensions_write(XmlWriter *w, const PoolDef *def)
{
        if (def->raid.level) {
                xml_instruction_open(w, INSTRUCTION);
                write_raid(w, &def->raid);
                xml_instruction_close(w);
        }
        if (is_own_format(def)) {
                xml_instruction_open(w, INSTRUCTION);
                xml_empty(w, "format", "type", def->source.format);
                xml_instruction_close(w);
        }
}
