/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/find-drives.h"

#include <ctype.h>

#define UDISKS "org.freedesktop.UDisks2"
#define UDISKS_PATH "/org/freedesktop/UDisks2"
#define UDISKS_BLOCK UDISKS ".Block"
#define UDISKS_DRIVE UDISKS ".Drive"
#define OWNER_USEC (2 * USEC_PER_SEC)
#define OBJECTS_USEC (5 * USEC_PER_SEC)
/* As many as are looked at; what is beyond is known of udev. */
#define OBJECTS_MAX 8192U

/* An object of UDisks2: a block device with its drive, or a drive. */
typedef struct Object {
        char *path;
        char *node, *drive;
        DriveInfo info;
} Object;

struct Drives {
        Object *objects;
        size_t n;
};

void drive_info_done(DriveInfo *info)
{
        free(info->vendor);
        free(info->model);
        free(info->serial);
        *info = (DriveInfo){0};
}

static void object_done(Object *o)
{
        free(o->path);
        free(o->node);
        free(o->drive);
        drive_info_done(&o->info);
        *o = (Object){0};
}

Drives *drives_free(Drives *drives)
{
        if (!drives)
                return NULL;
        for (size_t i = 0; i < drives->n; i++)
                object_done(&drives->objects[i]);
        free(drives->objects);
        free(drives);
        return NULL;
}

static int read_string(sd_bus_message *m, const char *type, char **ret)
{
        const char *s;
        int r = sd_bus_message_read(m, "v", type, &s);

        return r < 0 ? r : isempty(s) ? 0 : free_and_strdup(ret, s);
}

/* A path is bytes that end with a zero. */
static int read_path(sd_bus_message *m, char **ret)
{
        const void *bytes;
        size_t n;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "ay");
        if (r >= 0)
                r = sd_bus_message_read_array(m, 'y', &bytes, &n);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        free(*ret);
        *ret = strndup(bytes ?: "", n);
        return *ret ? 0 : -ENOMEM;
}

static int read_property(sd_bus_message *m, const char *interface, const char *name, Object *o)
{
        const struct {
                const char *interface, *name, *type;
                char **target;
        } strings[] = {
                {UDISKS_BLOCK, "Drive", "o", &o->drive},
                {UDISKS_DRIVE, "Vendor", "s", &o->info.vendor},
                {UDISKS_DRIVE, "Model", "s", &o->info.model},
                {UDISKS_DRIVE, "Serial", "s", &o->info.serial},
        };
        int r, removable;

        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                if (streq(strings[i].interface, interface) && streq(strings[i].name, name))
                        return read_string(m, strings[i].type, strings[i].target);
        }
        if (streq(interface, UDISKS_BLOCK) && streq(name, "Device"))
                return read_path(m, &o->node);
        if (!streq(interface, UDISKS_DRIVE) || !streq(name, "Removable"))
                return sd_bus_message_skip(m, "v");
        r = sd_bus_message_read(m, "v", "b", &removable);
        o->info.removable = r >= 0 && removable;
        return r;
}

static int read_interface(sd_bus_message *m, Object *o)
{
        const char *interface, *name;
        int r;

        r = sd_bus_message_read(m, "s", &interface);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r >= 0)
                        r = read_property(m, interface, name, o);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_object(sd_bus_message *m, Object *o)
{
        const char *path;
        int r;

        r = sd_bus_message_read(m, "o", &path);
        if (r >= 0)
                r = free_and_strdup(&o->path, path);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "{sa{sv}}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sa{sv}")) > 0) {
                r = read_interface(m, o);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_objects(sd_bus_message *m, Drives *drives)
{
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}");
        while (r >= 0 && drives->n < OBJECTS_MAX &&
               (r = sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}")) > 0) {
                Object o = {0}, *more;

                r = read_object(m, &o);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                more = r >= 0 ? reallocarray(drives->objects, drives->n + 1, sizeof(Object)) : NULL;
                if (!more) {
                        object_done(&o);
                        return r < 0 ? r : -ENOMEM;
                }
                drives->objects = more;
                drives->objects[drives->n++] = o;
        }
        return r;
}

static int call(sd_bus *bus, const char *service, const char *path, const char *interface,
                const char *method, const char *argument, uint64_t usec, sd_bus_message **ret)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, service, path, interface, method);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0 && argument)
                r = sd_bus_message_append(m, "s", argument);
        return r < 0 ? r : sd_bus_call(bus, m, usec, NULL, ret);
}

static int ask_udisks(Drives *drives)
{
        _cleanup_bus_message_unref_ sd_bus_message *owner = NULL, *objects = NULL;
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r, has = false;

        r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = call(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                         "NameHasOwner", UDISKS, OWNER_USEC, &owner);
        if (r >= 0)
                r = sd_bus_message_read(owner, "b", &has);
        if (r < 0 || !has)
                return r;
        r = call(bus, UDISKS, UDISKS_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL,
                 OBJECTS_USEC, &objects);
        return r < 0 ? r : read_objects(objects, drives);
}

Drives *drives_new(void)
{
        Drives *drives = calloc(1, sizeof(*drives));

        /* What it does not tell, udev does. */
        if (drives)
                (void) ask_udisks(drives);
        return drives;
}

static const DriveInfo *find_udisks(const Drives *drives, const char *node)
{
        const char *path = NULL;

        for (size_t i = 0; i < drives->n; i++) {
                if (streq_ptr(drives->objects[i].node, node))
                        path = drives->objects[i].drive;
        }
        for (size_t i = 0; path && i < drives->n; i++) {
                if (streq(drives->objects[i].path, path))
                        return &drives->objects[i].info;
        }
        return NULL;
}

static int hex(char c)
{
        return isdigit((unsigned char) c) ? c - '0' : tolower((unsigned char) c) - 'a' + 10;
}

int drive_decode(const char *s, char **ret)
{
        _cleanup_free_ char *out = strdup(s);
        size_t n = 0, begin = 0;

        *ret = NULL;
        if (!out)
                return -ENOMEM;
        while (*s) {
                bool coded = s[0] == '\\' && s[1] == 'x' && isxdigit((unsigned char) s[2]) &&
                             isxdigit((unsigned char) s[3]);

                out[n++] = coded ? (char) (hex(s[2]) << 4 | hex(s[3])) : *s;
                s += coded ? 4 : 1;
        }
        while (n > 0 && isspace((unsigned char) out[n - 1]))
                n--;
        while (begin < n && isspace((unsigned char) out[begin]))
                begin++;
        return begin == n ? 0 : utf8_make_valid(out + begin, n - begin, ret);
}

/* The first of the properties (NULL-terminated) that says something; what is set in *target stays. */
static int take_property(sd_device *device, const char *const *keys, char **target)
{
        for (; *keys && !*target; keys++) {
                const char *value;
                int r;

                if (sd_device_get_property_value(device, *keys, &value) < 0)
                        continue;
                r = drive_decode(value, target);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool is_removable(sd_device *device)
{
        const char *value, *devtype;
        sd_device *disk = device;

        if (sd_device_get_devtype(device, &devtype) >= 0 && streq(devtype, "partition"))
                (void) sd_device_get_parent_with_subsystem_devtype(device, "block", "disk", &disk);
        if (sd_device_get_sysattr_value(disk, "removable", &value) >= 0 && streq(value, "1"))
                return true;
        return sd_device_get_property_value(device, "ID_BUS", &value) >= 0 && streq(value, "usb");
}

static bool is_virtio(sd_device *device)
{
        sd_device *parent;

        return sd_device_get_parent_with_subsystem_devtype(device, "virtio", NULL, &parent) >= 0;
}

int drives_find(const Drives *drives, sd_device *device, DriveInfo *ret)
{
        static const char *const vendor[] = {"ID_VENDOR_ENC", "ID_VENDOR", NULL};
        static const char *const model[] = {"ID_MODEL_ENC", "ID_MODEL", NULL};
        static const char *const serial[] = {"ID_SCSI_SERIAL", "ID_SERIAL_SHORT", NULL};
        /* Of a drive that tells nothing else, as virtio's, this is the serial number alone. */
        static const char *const plain[] = {"ID_SERIAL", NULL};
        const DriveInfo *udisks = NULL;
        DriveInfo info = {.removable = is_removable(device)};
        const char *node;
        int r = 0;

        if (sd_device_get_devname(device, &node) >= 0)
                udisks = find_udisks(drives, node);
        if (udisks) {
                info.removable = info.removable || udisks->removable;
                r = free_and_strdup(&info.vendor, udisks->vendor);
                if (r >= 0)
                        r = free_and_strdup(&info.model, udisks->model);
                if (r >= 0)
                        r = free_and_strdup(&info.serial, udisks->serial);
        }
        if (r >= 0)
                r = take_property(device, vendor, &info.vendor);
        if (r >= 0)
                r = take_property(device, model, &info.model);
        if (r >= 0)
                r = take_property(device, serial, &info.serial);
        if (r >= 0 && !info.vendor && !info.model)
                r = take_property(device, plain, &info.serial);
        /* As UDisks2 calls it. */
        if (r >= 0 && !info.model && is_virtio(device))
                r = free_and_strdup(&info.model, "VirtIO Disk");
        if (r < 0) {
                drive_info_done(&info);
                return r;
        }
        *ret = info;
        return 0;
}
