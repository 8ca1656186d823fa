/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>

#include "common/def-util.h"
#include "common/def-xml.h"
#include "common/volume-check.h"

#define NSEC_PER_SEC (NSEC_PER_USEC * USEC_PER_SEC)
#define TIME_SECONDS_MAX (INT64_MAX / NSEC_PER_SEC - 1) /* in ns, it fits 63 bits */

/* What is being read, and the type of the pool it is for. */
typedef struct VolumeReader {
        VolumeDef *def;
        PoolType type;
        bool incomplete; /* not to be validated yet */
} VolumeReader;

/* Of an existing volume only: what stands there has no meaning for the one that is defined. */
static int read_unused(xmlNode *node, void *target, sd_bus_error *error)
{
        return 0;
}

static int read_name(xmlNode *node, void *target, sd_bus_error *error)
{
        return xml_get_name(node, "volume", &((VolumeReader *) target)->def->name, error);
}

static int read_capacity(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeDef *def = ((VolumeReader *) target)->def;

        def->capacity_set = true;
        return xml_get_size(node, &def->capacity, error);
}

static int read_allocation(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeDef *def = ((VolumeReader *) target)->def;

        def->allocation_set = true;
        return xml_get_size(node, &def->allocation, error);
}

static int read_extent(xmlNode *node, void *target, sd_bus_error *error)
{
        uint64_t unused;
        int r;

        r = xml_get_number_attribute(node, "start", true, 10, UINT64_MAX, &unused, error);
        if (r < 0)
                return r;
        return xml_get_number_attribute(node, "end", true, 10, UINT64_MAX, &unused, error);
}

static const XmlElement device_elements[] = {
        {.name = "extent", .attributes = {"start", "end"}, .repeat = true, .read = read_extent},
        {},
};

static const XmlElement source_elements[] = {
        {.name = "device", .attributes = {"path"}, .repeat = true, .children = device_elements},
        {},
};

/* Seconds, and up to nine digits of a second behind the point, as ns. */
static int read_time(const xmlNode *node, int64_t *ret, sd_bus_error *error)
{
        uint64_t seconds = 0, ns = 0, unit = NSEC_PER_SEC;
        _cleanup_free_ char *text = NULL;
        const char *p;
        int r;

        r = xml_get_text(node, &text, error);
        if (r < 0)
                return r;
        p = strempty(text);
        while (isdigit((unsigned char) *p) && seconds <= TIME_SECONDS_MAX)
                seconds = seconds * 10 + (uint64_t) (*p++ - '0');
        if (p > text && *p == '.') {
                for (p++; isdigit((unsigned char) *p) && unit > 1; p++) {
                        unit /= 10;
                        ns += (uint64_t) (*p - '0') * unit;
                }
        }
        if (!text || p == text || *p || seconds > TIME_SECONDS_MAX)
                return xml_error(node, error, "'%.64s' of <%s> is not a time in seconds since 1970",
                                 strempty(text), (const char *) node->name);
        *ret = (int64_t) (seconds * NSEC_PER_SEC + ns);
        return 0;
}

static int read_atime(xmlNode *node, void *target, sd_bus_error *error)
{
        return read_time(node, &((VolumeTimes *) target)->atime, error);
}

static int read_btime(xmlNode *node, void *target, sd_bus_error *error)
{
        return read_time(node, &((VolumeTimes *) target)->btime, error);
}

static int read_ctime(xmlNode *node, void *target, sd_bus_error *error)
{
        return read_time(node, &((VolumeTimes *) target)->ctime, error);
}

static int read_mtime(xmlNode *node, void *target, sd_bus_error *error)
{
        return read_time(node, &((VolumeTimes *) target)->mtime, error);
}

static const XmlElement times_elements[] = {
        {.name = "atime", .text = true, .read = read_atime},
        {.name = "btime", .text = true, .read = read_btime},
        {.name = "ctime", .text = true, .read = read_ctime},
        {.name = "mtime", .text = true, .read = read_mtime},
        {},
};

static int read_times(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeTimes *times = &((VolumeReader *) target)->def->times;

        times->set = true;
        return xml_read_children(node, times_elements, times, error);
}

static int read_format(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeReader *reader = target;
        int r;

        r = xml_get_attribute(node, "type", true, &reader->def->format, error);
        if (r < 0)
                return r;
        return xml_at(node, volume_check_format(reader->type, reader->def->format, error), error);
}

static int read_permissions(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeDef *def = ((VolumeReader *) target)->def;

        return xml_read_children(node, permissions_elements, &def->permissions, error);
}

static int read_secret(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeEncryption *e = target;
        int r;

        e->secrets = calloc(1, sizeof(EncryptionSecret));
        if (!e->secrets)
                return -ENOMEM;
        e->n_secrets = 1;
        r = xml_get_attribute(node, "type", true, &e->secrets[0].type, error);
        if (r < 0)
                return r;
        return secret_read(node, &e->secrets[0].uuid, &e->secrets[0].usage, error);
}

static int read_cipher(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeEncryption *e = target;
        uint64_t bits;
        int r;

        r = xml_get_attribute(node, "name", true, &e->cipher_name, error);
        if (r < 0)
                return r;
        r = xml_get_attribute(node, "mode", false, &e->cipher_mode, error);
        if (r < 0)
                return r;
        r = xml_get_attribute(node, "hash", false, &e->cipher_hash, error);
        if (r < 0)
                return r;
        r = xml_get_number_attribute(node, "size", true, 10, UINT32_MAX, &bits, error);
        if (r < 0)
                return r;
        e->cipher_size = (uint32_t) bits;
        return 0;
}

static int read_ivgen(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeEncryption *e = target;
        int r;

        r = xml_get_attribute(node, "name", true, &e->ivgen_name, error);
        if (r < 0)
                return r;
        return xml_get_attribute(node, "hash", false, &e->ivgen_hash, error);
}

static const XmlElement encryption_elements[] = {
        {.name = "secret", .attributes = {"type", "uuid", "usage"}, .read = read_secret},
        {.name = "cipher", .attributes = {"name", "size", "mode", "hash"}, .read = read_cipher},
        {.name = "ivgen", .attributes = {"name", "hash"}, .read = read_ivgen},
        {},
};

static int read_encryption(xmlNode *node, void *target, sd_bus_error *error)
{
        static const char *const formats[] = {"default", "qcow", "luks", "luks2", NULL};
        _cleanup_free_ char *engine = NULL;
        VolumeEncryption *e = &((VolumeReader *) target)->def->encryption;
        int v, r;

        r = xml_get_choice_attribute(node, "format", true, formats, &v, error);
        if (r < 0)
                return r;
        e->format = encryption_format_from_string(formats[v]);
        r = xml_get_attribute(node, "engine", false, &engine, error);
        if (r < 0)
                return r;
        if (engine && !streq(engine, "qemu"))
                return xml_error(node, error,
                                 "the encryption engine '%.64s' is not supported: it is always qemu",
                                 engine);
        r = xml_read_children(node, encryption_elements, e, error);
        if (r < 0)
                return r;
        return xml_at(node, volume_check_encryption(e, error), error);
}

static int read_compat(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeDef *def = ((VolumeReader *) target)->def;
        int r;

        r = xml_get_text(node, &def->compat, error);
        if (r < 0)
                return r;
        return xml_at(node, volume_check_compat(def->compat, error), error);
}

static int read_nocow(xmlNode *node, void *target, sd_bus_error *error)
{
        ((VolumeReader *) target)->def->nocow = true;
        return 0;
}

static int read_cluster_size(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeDef *def = ((VolumeReader *) target)->def;
        int r;

        r = xml_get_size(node, &def->cluster_size, error);
        if (r < 0)
                return r;
        return xml_at(node, volume_check_cluster_size(def->cluster_size, error), error);
}

static int read_lazy_refcounts(xmlNode *node, void *target, sd_bus_error *error)
{
        ((VolumeReader *) target)->def->lazy_refcounts = TRISTATE_YES;
        return 0;
}

static int read_extended_l2(xmlNode *node, void *target, sd_bus_error *error)
{
        ((VolumeReader *) target)->def->extended_l2 = TRISTATE_YES;
        return 0;
}

static const XmlElement features_elements[] = {
        {.name = "lazy_refcounts", .read = read_lazy_refcounts},
        {.name = "extended_l2", .read = read_extended_l2},
        {},
};

static const XmlElement target_elements[] = {
        {.name = "path", .text = true, .read = read_unused},
        {.name = "format", .attributes = {"type"}, .read = read_format},
        {.name = "permissions", .nested = true, .read = read_permissions},
        {.name = "timestamps", .nested = true, .read = read_times},
        {.name = "encryption", .attributes = {"format", "engine"}, .nested = true, .read = read_encryption},
        {.name = "compat", .text = true, .read = read_compat},
        {.name = "nocow", .read = read_nocow},
        {.name = "clusterSize", .attributes = {"unit"}, .text = true, .read = read_cluster_size},
        {.name = "features", .children = features_elements},
        {},
};

static int read_backing_path(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeDef *def = ((VolumeReader *) target)->def;
        int r;

        r = xml_get_text(node, &def->backing_path, error);
        if (r < 0 || !def->backing_path)
                return r;
        return xml_at(node, volume_check_backing_path(def->backing_path, error), error);
}

static int read_backing_format(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeDef *def = ((VolumeReader *) target)->def;
        int r;

        r = xml_get_attribute(node, "type", true, &def->backing_format, error);
        if (r < 0)
                return r;
        return xml_at(node, volume_check_backing_format(def->backing_format, error), error);
}

static int read_backing_permissions(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeDef *def = ((VolumeReader *) target)->def;

        return xml_read_children(node, permissions_elements, &def->backing_permissions, error);
}

static int read_backing_times(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeTimes *times = &((VolumeReader *) target)->def->backing_times;

        times->set = true;
        return xml_read_children(node, times_elements, times, error);
}

static const XmlElement backing_elements[] = {
        {.name = "path", .text = true, .read = read_backing_path},
        {.name = "format", .attributes = {"type"}, .read = read_backing_format},
        {.name = "permissions", .nested = true, .read = read_backing_permissions},
        {.name = "timestamps", .nested = true, .read = read_backing_times},
        {},
};

static int read_backing(xmlNode *node, void *target, sd_bus_error *error)
{
        VolumeDef *def = ((VolumeReader *) target)->def;
        int r;

        r = xml_read_children(node, backing_elements, target, error);
        if (r < 0)
                return r;
        return def->backing_path ? 0 : xml_error(node, error, "<backingStore> has no <path>");
}

static const XmlElement volume_elements[] = {
        {.name = "name", .text = true, .read = read_name},
        {.name = "key", .text = true, .read = read_unused},
        {.name = "source", .children = source_elements},
        {.name = "capacity", .attributes = {"unit"}, .text = true, .read = read_capacity},
        {.name = "allocation", .attributes = {"unit"}, .text = true, .read = read_allocation},
        {.name = "physical", .attributes = {"unit"}, .text = true, .read = xml_read_unused_size},
        {.name = "target", .children = target_elements},
        {.name = "backingStore", .nested = true, .read = read_backing},
        {},
};

static int read_volume(xmlNode *node, void *target, sd_bus_error *error)
{
        _cleanup_free_ char *type = NULL;
        VolumeReader *reader = target;
        int r;

        r = xml_get_attribute(node, "type", false, &type, error);
        if (r < 0)
                return r;
        if (type) {
                reader->def->type = volume_type_from_string(type);
                if (reader->def->type == _VOLUME_TYPE_INVALID)
                        return xml_error(node, error, "unknown volume type '%.64s'", type);
        }
        r = xml_read_children(node, volume_elements, reader, error);
        if (r < 0)
                return r;
        return reader->incomplete
                       ? 0
                       : xml_at(node, volume_def_validate(reader->def, reader->type, error), error);
}

static int parse_xml(const char *xml, size_t n, PoolType type, bool incomplete, VolumeDef **ret,
                     sd_bus_error *error)
{
        static const XmlElement root = {
                .name = "volume", .attributes = {"type"}, .nested = true, .read = read_volume};
        _cleanup_(volume_def_freep) VolumeDef *def = NULL;
        _cleanup_(xmlFreeDocp) xmlDoc *doc = NULL;
        int r;

        r = xml_parse(xml, n, root.name, &doc, error);
        if (r < 0)
                return r;
        def = volume_def_new();
        if (!def)
                return -ENOMEM;
        r = xml_read_element(xmlDocGetRootElement(doc), &root, &(VolumeReader){def, type, incomplete},
                             error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(def);
        return 0;
}

int volume_def_parse_xml(const char *xml, size_t n, PoolType type, VolumeDef **ret, sd_bus_error *error)
{
        return parse_xml(xml, n, type, false, ret, error);
}

int volume_def_parse_clone_xml(const char *xml, size_t n, PoolType type, VolumeDef **ret,
                               sd_bus_error *error)
{
        return parse_xml(xml, n, type, true, ret, error);
}
