/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/find-devices.h"

#include <sys/stat.h>

/* More is not looked at. */
#define DEVICES_MAX 4096U
/* For one device, and for waiting in vain in all; then the others have a moment each. */
#define LOOK_USEC (5 * USEC_PER_SEC)
#define SILENT_USEC (10 * USEC_PER_SEC)
#define HURRY_USEC (USEC_PER_SEC / 2)

static void found_device_done(FoundDevice *d)
{
        free(d->node);
        strv_free(d->links);
        free(d->vg);
        drive_info_done(&d->drive);
        free(d->problem);
        block_contents_done(&d->contents);
        free(d->words);
        free(d->used_by);
        *d = (FoundDevice){0};
}

void found_devices_done(FoundDevices *devices)
{
        for (size_t i = 0; i < devices->n; i++)
                found_device_done(&devices->list[i]);
        free(devices->list);
        *devices = (FoundDevices){0};
}

static const char *property(sd_device *device, const char *key)
{
        const char *value;

        return sd_device_get_property_value(device, key, &value) >= 0 ? value : "";
}

static uint64_t number(sd_device *device, const char *attribute)
{
        const char *value;

        return sd_device_get_sysattr_value(device, attribute, &value) >= 0 ? strtoull(value, NULL, 10) : 0;
}

/* Those that are parts of others' machinery, or have nothing in them, are no candidates. */
static bool is_candidate(sd_device *device, const char *name)
{
        static const char *const skipped[] = {"ram", "zram", "fd"};
        const char *uuid = property(device, "DM_UUID"), *rest;

        for (size_t i = 0; i < ELEMENTSOF(skipped); i++) {
                rest = startswith(name, skipped[i]);
                if (rest && strspn(rest, "0123456789") == strlen(rest))
                        return false;
        }
        if (number(device, "hidden") != 0 ||
            streq(property(device, "DM_UDEV_DISABLE_OTHER_RULES_FLAG"), "1"))
                return false;
        /* LVM's own volumes have a suffix: "LVM-<id>-tpool". */
        rest = startswith(uuid, "LVM-");
        if (rest && strchr(rest, '-'))
                return false;
        return number(device, "size") > 0 || streq(property(device, "ID_CDROM"), "1");
}

static FoundKind kind_of(sd_device *device, const char *name)
{
        const char *devtype = "", *type = property(device, "ID_PART_ENTRY_TYPE");

        (void) sd_device_get_devtype(device, &devtype);
        if (streq(devtype, "partition")) {
                bool extended = streq(property(device, "ID_PART_ENTRY_SCHEME"), "dos") &&
                                (streq(type, "0x5") || streq(type, "0xf") || streq(type, "0x85"));

                return extended ? FOUND_EXTENDED : FOUND_PARTITION;
        }
        if (streq(property(device, "ID_CDROM"), "1"))
                return FOUND_CDROM;
        if (startswith(property(device, "DM_UUID"), "part"))
                return FOUND_PARTITION;
        if (startswith(name, "dm-"))
                return startswith(property(device, "DM_UUID"), "mpath-") ? FOUND_DISK : FOUND_VOLUME;
        return startswith(name, "md") ? FOUND_ARRAY : FOUND_DISK;
}

/* How good a name is: the smaller the better; -1: not stable. */
static int rank_link(const char *link)
{
        static const char *const folders[] = {"/dev/disk/by-id/", "/dev/disk/by-path/", "/dev/md/",
                                              "/dev/mapper/"};

        for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
                if (startswith(link, folders[i]))
                        return (int) i + 1;
        }
        /* A logical volume's own: /dev/tank/root. */
        return startswith(link, "/dev/disk/") || !strchr(link + strlen("/dev/"), '/') ? -1 : 0;
}

static int compare_links(const void *a, const void *b)
{
        const char *x = *(const char *const *) a, *y = *(const char *const *) b;
        int ranks = rank_link(x) - rank_link(y);

        return ranks ?: strcmp(x, y);
}

static int take_links(sd_device *device, FoundDevice *d)
{
        const char *link;

        for (link = sd_device_get_devlink_first(device); link; link = sd_device_get_devlink_next(device)) {
                /* A disk's own folder in /dev, as of input devices, is no volume group's. */
                bool volume = d->kind == FOUND_VOLUME || rank_link(link) > 0;
                int r = 0;

                if (rank_link(link) >= 0 && volume && utf8_is_valid(link))
                        r = strv_extend(&d->links, link);
                if (r < 0)
                        return r;
        }
        if (d->links)
                qsort(d->links, strv_length(d->links), sizeof(char *), compare_links);
        return 0;
}

/* The kernel numbers volumes and arrays as they come: their own name says which is meant. */
static int take_node(sd_device *device, const char *name, FoundDevice *d)
{
        const char *node, *best = NULL;
        char *const *link;
        int r;

        r = sd_device_get_devname(device, &node);
        if (r < 0)
                return r;
        STRV_FOREACH (link, d->links) {
                bool own = rank_link(*link) == 0 || rank_link(*link) > 2;

                if (own && !best && (startswith(name, "dm-") || d->kind == FOUND_ARRAY))
                        best = *link;
        }
        return free_and_strdup(&d->node, best ?: node);
}

static int read_device(const Drives *drives, sd_device *device, const char *name, FoundDevice *d)
{
        int r;

        d->kind = kind_of(device, name);
        d->size = number(device, "size") * 512;
        d->read_only = number(device, "ro") != 0;
        d->no_medium = d->kind == FOUND_CDROM && !streq(property(device, "ID_CDROM_MEDIA"), "1");
        r = sd_device_get_devnum(device, &d->devnum);
        if (r >= 0)
                r = take_links(device, d);
        if (r >= 0)
                r = take_node(device, name, d);
        if (r >= 0 && d->kind == FOUND_VOLUME && *property(device, "DM_VG_NAME"))
                r = free_and_strdup(&d->vg, property(device, "DM_VG_NAME"));
        return r < 0 ? r : drives_find(drives, device, &d->drive);
}

static bool is_wanted(BackendContext *ctx, dev_t devnum)
{
        const PoolSource *source = &ctx->pool->source;
        struct stat st;

        for (size_t i = 0; i < source->n_devices; i++) {
                if (stat(source->devices[i].path, &st) >= 0 && S_ISBLK(st.st_mode) && st.st_rdev == devnum)
                        return true;
        }
        return source->n_devices == 0;
}

static int add_device(BackendContext *ctx, const Drives *drives, sd_device *device, FoundDevices *devices)
{
        FoundDevice d = {0}, *more;
        const char *name;
        int r;

        if (sd_device_get_sysname(device, &name) < 0 || !is_candidate(device, name))
                return 0;
        r = read_device(drives, device, name, &d);
        if (r < 0 || !is_wanted(ctx, d.devnum)) {
                found_device_done(&d);
                /* It went while it was read. */
                return r == -ENOMEM ? r : 0;
        }
        more = reallocarray(devices->list, devices->n + 1, sizeof(FoundDevice));
        if (!more) {
                found_device_done(&d);
                return -ENOMEM;
        }
        devices->list = more;
        devices->list[devices->n++] = d;
        return 0;
}

static int list_devices(BackendContext *ctx, const Drives *drives, FoundDevices *devices)
{
        sd_device_enumerator *e = NULL;
        sd_device *device;
        int r;

        r = sd_device_enumerator_new(&e);
        if (r >= 0)
                r = sd_device_enumerator_add_match_subsystem(e, "block", true);
        for (device = r >= 0 ? sd_device_enumerator_get_device_first(e) : NULL;
             device && r >= 0 && devices->n < DEVICES_MAX; device = sd_device_enumerator_get_device_next(e))
                r = add_device(ctx, drives, device, devices);
        sd_device_enumerator_unref(e);
        return r;
}

static int look_at_all(BackendContext *ctx, FoundDevices *devices)
{
        uint64_t silent = 0;

        for (size_t i = 0; i < devices->n; i++) {
                uint64_t usec = silent < SILENT_USEC ? LOOK_USEC : HURRY_USEC;
                int r;

                if (ctx->cancelled(ctx))
                        return -ECANCELED;
                /* An empty drive would be woken up for nothing. */
                if (devices->list[i].no_medium)
                        continue;
                r = found_device_look(&devices->list[i], usec);
                if (r < 0)
                        return r;
                if (devices->list[i].silent) {
                        devices->silent = true;
                        silent += usec;
                }
        }
        return 0;
}

static int compare_devices(const void *a, const void *b)
{
        return strverscmp(((const FoundDevice *) a)->node, ((const FoundDevice *) b)->node);
}

int found_devices_get(BackendContext *ctx, FoundDevices *ret)
{
        _cleanup_(drives_freep) Drives *drives = drives_new();
        FoundDevices devices = {0};
        int r;

        r = drives ? list_devices(ctx, drives, &devices) : -ENOMEM;
        if (r >= 0)
                r = look_at_all(ctx, &devices);
        if (r < 0) {
                found_devices_done(&devices);
                return error_set_errno(ctx->error, r, "Cannot look for devices");
        }
        if (devices.n > 0)
                qsort(devices.list, devices.n, sizeof(FoundDevice), compare_devices);
        *ret = devices;
        return 0;
}

FoundDevice *found_devices_find(const FoundDevices *devices, const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
                return NULL;
        for (size_t i = 0; i < devices->n; i++) {
                if (devices->list[i].devnum == st.st_rdev)
                        return &devices->list[i];
        }
        return NULL;
}
