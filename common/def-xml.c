/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/def-xml.h"

#include <inttypes.h>

#include "common/def-util.h"

const char *const auth_type_names[] = {"", "chap", "ceph", NULL};
const char *const adapter_type_names[] = {"", "scsi_host", "fc_host", NULL};
const char *const refresh_allocation_names[] = {"", "default", "capacity", NULL};
const char *const yes_no_names[] = {"no", "yes", NULL};

static int read_mode(xmlNode *node, void *target, sd_bus_error *error)
{
        Permissions *p = target;
        uint64_t v;
        int r;

        r = xml_get_number(node, 8, 07777, &v, error);
        if (r < 0)
                return r;
        p->mode = (uint32_t) v;
        return xml_at(node, def_check_permissions(p, error), error);
}

/* An owner or a group; libvirt writes "-1" for one that is not set. */
static int read_id(xmlNode *node, uint32_t *ret, sd_bus_error *error)
{
        _cleanup_free_ char *text = NULL;
        uint64_t v;
        int r;

        r = xml_get_text(node, &text, error);
        if (r < 0)
                return r;
        *ret = ID_UNSET;
        if (text && streq(text, "-1"))
                return 0;
        r = xml_get_number(node, 10, UINT32_MAX, &v, error);
        if (r < 0)
                return r;
        *ret = (uint32_t) v;
        return 0;
}

static int read_owner(xmlNode *node, void *target, sd_bus_error *error)
{
        return read_id(node, &((Permissions *) target)->owner, error);
}

static int read_group(xmlNode *node, void *target, sd_bus_error *error)
{
        return read_id(node, &((Permissions *) target)->group, error);
}

const XmlElement permissions_elements[] = {
        {.name = "mode", .text = true, .read = read_mode},
        {.name = "owner", .text = true, .read = read_owner},
        {.name = "group", .text = true, .read = read_group},
        {.name = "label", .text = true, .string = offsetof(Permissions, label)},
        {},
};

void permissions_write(XmlWriter *w, const Permissions *p)
{
        if (p->mode == MODE_UNSET && p->owner == ID_UNSET && p->group == ID_UNSET && !p->label)
                return;
        xml_open(w, "permissions");
        if (p->mode != MODE_UNSET)
                xml_textf(w, "mode", "0%o", p->mode);
        if (p->owner != ID_UNSET)
                xml_textf(w, "owner", "%" PRIu32, p->owner);
        if (p->group != ID_UNSET)
                xml_textf(w, "group", "%" PRIu32, p->group);
        xml_text(w, "label", p->label);
        xml_close(w);
}

int secret_read(xmlNode *node, char **uuid, char **usage, sd_bus_error *error)
{
        int r;

        r = xml_get_attribute(node, "uuid", false, uuid, error);
        if (r < 0)
                return r;
        return xml_get_attribute(node, "usage", false, usage, error);
}
