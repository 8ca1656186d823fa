/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/guest-disk.h"

#include "common/pool-def.h"
#include "common/xml-writer.h"

void guest_disk_done(GuestDisk *disk)
{
        for (size_t i = 0; i < disk->n_images; i++) {
                free(disk->images[i].path);
                free(disk->images[i].secret);
        }
        free(disk->images);
        *disk = (GuestDisk){};
}

int guest_disk_add(GuestDisk *disk, const char *path, bool block, const char *format, const char *secret)
{
        GuestImage *grown = reallocarray(disk->images, disk->n_images + 1, sizeof(GuestImage)), *image;
        char uuid[37];

        if (!grown)
                return -ENOMEM;
        if (secret && uuid_normalize(secret, uuid) >= 0)
                secret = uuid;
        disk->images = grown;
        image = &grown[disk->n_images];
        *image = (GuestImage){.path = strdup(path), .block = block, .format = format};
        if (!image->path || free_and_strdup(&image->secret, secret) < 0) {
                free(image->path);
                return -ENOMEM;
        }
        disk->n_images++;
        return 0;
}

/* A bus: how its disks are named in libvirt, how many there may be, and which devices it has. */
typedef struct GuestBus {
        const char *name, *prefix;
        unsigned letters; /* "a" to this many, if it has so few */
        bool disk, cdrom, floppy, lun;
} GuestBus;

static const GuestBus buses[] = {
        {.name = "virtio", .prefix = "vd", .disk = true},
        {.name = "scsi", .prefix = "sd", .disk = true, .cdrom = true, .lun = true},
        {.name = "ide", .prefix = "hd", .letters = 4, .disk = true, .cdrom = true},
        {.name = "sata", .prefix = "sd", .disk = true, .cdrom = true},
        {.name = "usb", .prefix = "sd", .disk = true, .cdrom = true},
        {.name = "fdc", .prefix = "fd", .letters = 2, .floppy = true},
};

static const GuestBus *find_bus(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(buses); i++) {
                if (streq(buses[i].name, name))
                        return &buses[i];
        }
        return NULL;
}

static bool has_device(const GuestBus *bus, const char *device)
{
        return (streq(device, "disk") && bus->disk) || (streq(device, "cdrom") && bus->cdrom) ||
               (streq(device, "floppy") && bus->floppy) || (streq(device, "lun") && bus->lun);
}

static int settle_bus(GuestDisk *d, const GuestBus **ret, sd_bus_error *error)
{
        const GuestBus *bus;

        if (!d->device)
                d->device = d->bus && streq(d->bus, "fdc") ? "floppy" : "disk";
        if (!d->bus)
                d->bus = streq(d->device, "cdrom")    ? "sata"
                         : streq(d->device, "floppy") ? "fdc"
                         : streq(d->device, "lun")    ? "scsi"
                                                      : "virtio";
        bus = find_bus(d->bus);
        if (!bus)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Option bus must be virtio, scsi, ide, sata, usb or fdc, not '%.64s'",
                                  d->bus);
        if (!streq(d->device, "disk") && !streq(d->device, "cdrom") && !streq(d->device, "floppy") &&
            !streq(d->device, "lun"))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Option device must be disk, cdrom, floppy or lun, not '%.64s'",
                                  d->device);
        if (!has_device(bus, d->device))
                return error_setf(
                        error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "The bus %s has no device %s: disks are on virtio, scsi, ide, sata or usb, "
                        "CD-ROMs on scsi, ide, sata or usb, floppies on fdc, LUNs on scsi",
                        bus->name, d->device);
        *ret = bus;
        return 0;
}

static int settle_target(GuestDisk *d, const GuestBus *bus, sd_bus_error *error)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
        const char *rest;
        size_t n;

        if (!d->target) {
                d->target = streq(bus->prefix, "vd")   ? "vda"
                            : streq(bus->prefix, "sd") ? "sda"
                            : streq(bus->prefix, "hd") ? "hda"
                                                       : "fda";
                return 0;
        }
        rest = startswith(d->target, bus->prefix);
        n = rest ? strspn(rest, letters) : 0;
        if (n == 0 || n > 3 || rest[n])
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "On the bus %s the target is named %sa, %sb and so on, not '%.64s'",
                                  bus->name, bus->prefix, bus->prefix, d->target);
        if (bus->letters > 0 && (n > 1 || rest[0] >= 'a' + (char) bus->letters))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "There is no target '%s': the bus %s has %u, %sa to %s%c", d->target,
                                  bus->name, bus->letters, bus->prefix, bus->prefix,
                                  'a' + (char) bus->letters - 1);
        return 0;
}

/* A guest passes its own SCSI commands to a LUN: there must be nothing between it and the device. */
static int check_lun(const GuestDisk *d, sd_bus_error *error)
{
        const GuestImage *top = &d->images[0];

        if (!streq(d->device, "lun") || (top->block && !top->secret && streq(top->format, "raw")))
                return 0;
        return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "%s cannot be a LUN: only a device can, with raw contents and not encrypted",
                          top->path);
}

static int check_access(const GuestDisk *d, sd_bus_error *error)
{
        const GuestImage *top = &d->images[0];
        const GuestFormat *format = guest_format_find(top->format);

        if (d->read_only && streq(d->device, "disk") && (streq(d->bus, "ide") || streq(d->bus, "sata")))
                return error_setf(
                        error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "A disk on the bus %s cannot be read-only: one on virtio, scsi or usb can, "
                        "or a CD-ROM",
                        d->bus);
        if (!d->read_only && format->read_only)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "%s has the format %s, which a guest can only read: give the option "
                                  "readonly",
                                  top->path, top->format);
        return 0;
}

int guest_disk_settle(GuestDisk *disk, sd_bus_error *error)
{
        const GuestBus *bus = NULL;
        int r;

        r = settle_bus(disk, &bus, error);
        if (r >= 0)
                r = settle_target(disk, bus, error);
        if (r < 0)
                return r;
        if (streq(disk->device, "cdrom") || streq(disk->device, "floppy"))
                disk->read_only = true;
        r = check_lun(disk, error);
        return r < 0 ? r : check_access(disk, error);
}

/* XML */

static void write_source(XmlWriter *w, const GuestImage *image)
{
        char uuid[37];

        xml_open(w, "source");
        xml_attribute(w, image->block ? "dev" : "file", image->path);
        if (image->secret) {
                xml_open(w, "encryption");
                xml_attribute(w, "format", "luks");
                xml_open(w, "secret");
                xml_attribute(w, "type", "passphrase");
                if (uuid_normalize(image->secret, uuid) >= 0)
                        xml_attribute(w, "uuid", uuid);
                else
                        xml_attribute(w, "usage", image->secret);
                xml_close(w);
                xml_close(w);
        }
        xml_close(w);
}

/* Each within the one that is built on it; an empty one at the end says that nothing is behind it. */
static void write_chain(XmlWriter *w, const GuestDisk *d)
{
        for (size_t i = 1; i < d->n_images; i++) {
                xml_open(w, "backingStore");
                xml_attribute(w, "type", d->images[i].block ? "block" : "file");
                xml_empty(w, "format", "type", guest_format_find(d->images[i].format)->libvirt);
                write_source(w, &d->images[i]);
        }
        if (!d->open_end) {
                xml_open(w, "backingStore");
                xml_close(w);
        }
        for (size_t i = 1; i < d->n_images; i++)
                xml_close(w);
}

static int check_formats(const GuestDisk *d, sd_bus_error *error)
{
        for (size_t i = 0; i < d->n_images; i++) {
                if (!guest_format_find(d->images[i].format)->libvirt)
                        return error_setf(error, STORAGE_ERROR_UNSUPPORTED,
                                          "libvirt has no disks of the format %s, which %s has",
                                          d->images[i].format, d->images[i].path);
        }
        return 0;
}

int guest_disk_format_xml(const GuestDisk *disk, char **ret, sd_bus_error *error)
{
        const GuestImage *top = &disk->images[0];
        XmlWriter w;
        int r;

        r = check_formats(disk, error);
        if (r >= 0)
                r = xml_writer_start(&w);
        if (r < 0)
                return r;
        xml_open(&w, "disk");
        xml_attribute(&w, "type", top->block ? "block" : "file");
        xml_attribute(&w, "device", disk->device);
        xml_open(&w, "driver");
        xml_attribute(&w, "name", "qemu");
        xml_attribute(&w, "type", guest_format_find(top->format)->libvirt);
        if (!disk->read_only && !streq(disk->device, "lun"))
                xml_attribute(&w, "discard", "unmap");
        xml_close(&w);
        write_source(&w, top);
        write_chain(&w, disk);
        xml_open(&w, "target");
        xml_attribute(&w, "dev", disk->target);
        xml_attribute(&w, "bus", disk->bus);
        xml_close(&w);
        if (disk->read_only) {
                xml_open(&w, "readonly");
                xml_close(&w);
        }
        xml_close(&w);
        return xml_writer_finish(&w, ret);
}
