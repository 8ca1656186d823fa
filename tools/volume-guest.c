/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/volume-guest.h"

#include "tools/report.h"
#include "tools/volume-call.h"

const Option volume_disk_xml_options[] = {
        {"bus", "BUS", OPTION_STRING, "bus", "virtio, scsi, ide, sata, usb or fdc"},
        {"device", "DEVICE", OPTION_STRING, "device", "disk, cdrom, floppy or lun"},
        {"target", "NAME", OPTION_STRING, "target", "how the guest should call it: vda and so on"},
        {"readonly", NULL, OPTION_FLAG, "readonly", "let the guest not write to it"},
        {"format", "FORMAT", OPTION_STRING, "format", "raw, if what looks like a header is the guest's own"},
        {"secret", "USAGE|UUID", OPTION_STRING, "secret", "of the passphrase; '' if the guest decrypts it"},
        {0},
};

const Option volume_blockdev_options[] = {
        {"node-name", "NAME", OPTION_STRING, "node-name", "name of the uppermost node"},
        {"readonly", NULL, OPTION_FLAG, "readonly", "let the guest not write to it"},
        {"format", "FORMAT", OPTION_STRING, "format", "raw, if what looks like a header is the guest's own"},
        {"secret", "USAGE|UUID", OPTION_STRING, "secret", "of the passphrase; '' if the guest decrypts it"},
        {0},
};

static int print_description(Context *c, const Args *a, const char *member, const Option *options)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        size_t used;
        int r;

        r = check_volume_operands(a, 0, NULL);
        if (r != STATUS_OK)
                return r;
        r = find_volume_operands(c, a, &path, &used, &error);
        if (r >= 0)
                r = print_text(c, path, VOLUME_INTERFACE, member, a, options, &error);
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}

int volume_disk_xml(Context *c, const Args *a)
{
        return print_description(c, a, "GetDiskXML", volume_disk_xml_options);
}

int volume_blockdev(Context *c, const Args *a)
{
        return print_description(c, a, "GetBlockdev", volume_blockdev_options);
}
