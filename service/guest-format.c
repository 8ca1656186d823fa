/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/guest-disk.h"

/* Raw with another name, LUKS included: what decrypts it is said apart. */
#define AS_RAW(n)                                            \
        {                                                    \
                .name = n, .driver = "raw", .libvirt = "raw" \
        }

static const GuestFormat formats[] = {
        AS_RAW(""),
        AS_RAW("raw"),
        AS_RAW("none"),
        AS_RAW("iso"),
        AS_RAW("fat"),
        {.name = "luks", .driver = "luks", .libvirt = "raw"},
        {.name = "qcow2", .driver = "qcow2", .libvirt = "qcow2", .backing = true},
        {.name = "qcow", .driver = "qcow", .libvirt = "qcow", .backing = true},
        {.name = "qed", .driver = "qed", .libvirt = "qed", .backing = true},
        {.name = "vmdk", .driver = "vmdk", .libvirt = "vmdk", .backing = true},
        {.name = "vdi", .driver = "vdi", .libvirt = "vdi"},
        {.name = "vpc", .driver = "vpc", .libvirt = "vpc"},
        {.name = "vhdx", .driver = "vhdx"},
        {.name = "ploop", .driver = "parallels", .libvirt = "ploop"},
        {.name = "parallels", .driver = "parallels", .libvirt = "ploop"},
        {.name = "bochs", .driver = "bochs", .libvirt = "bochs", .read_only = true},
        {.name = "cloop", .driver = "cloop", .libvirt = "cloop", .read_only = true},
        {.name = "dmg", .driver = "dmg", .libvirt = "dmg", .read_only = true},
        {.name = "cow"},
        {.name = "dir"},
};

const GuestFormat *guest_format_find(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
                if (streq(formats[i].name, name))
                        return &formats[i];
        }
        return NULL;
}
