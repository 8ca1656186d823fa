/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/bus.h"
#include "interfaces/options.h"
#include "interfaces/volume-methods.h"
#include "service/guest-chain.h"

/* What is described may be built on volumes of pools that are not known yet. 1 go on, 0 held. */
static int hold_for_backing(const Volume *v, sd_bus_message *m, sd_bus_error *error)
{
        return guest_chain_is_foreign(v) ? hold_until_all_scanned(bus_of(v->pool->manager), m, error) : 1;
}

static int describe(sd_bus_message *m, const Volume *v, GuestDisk *disk, const char *format,
                    const char *secret, bool json, sd_bus_error *error)
{
        _cleanup_free_ char *text = NULL;
        int r;

        r = guest_chain_read(v, format, secret, disk, error);
        if (r >= 0)
                r = guest_disk_settle(disk, error);
        if (r >= 0)
                r = json ? guest_disk_format_blockdev(disk, &text, error)
                         : guest_disk_format_xml(disk, &text, error);
        guest_disk_done(disk);
        return r < 0 ? r : sd_bus_reply_method_return(m, "s", text);
}

int volume_method_get_disk_xml(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *format = NULL, *secret = NULL;
        GuestDisk disk = {};
        const Option options[] = {
                {"bus", 's', &disk.bus},  {"target", 's', &disk.target},      {"device", 's', &disk.device},
                {"format", 's', &format}, {"readonly", 'b', &disk.read_only}, {"secret", 's', &secret},
        };
        int r;

        r = options_read(m, options, ELEMENTSOF(options), error);
        if (r >= 0)
                r = hold_for_backing(userdata, m, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        return describe(m, userdata, &disk, format, secret, false, error);
}

int volume_method_get_blockdev(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *format = NULL, *secret = NULL;
        GuestDisk disk = {};
        const Option options[] = {
                {"node-name", 's', &disk.node_name},
                {"format", 's', &format},
                {"readonly", 'b', &disk.read_only},
                {"secret", 's', &secret},
        };
        int r;

        r = options_read(m, options, ELEMENTSOF(options), error);
        if (r >= 0)
                r = hold_for_backing(userdata, m, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        return describe(m, userdata, &disk, format, secret, true, error);
}
