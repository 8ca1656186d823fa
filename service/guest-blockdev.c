/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/guest-disk.h"

#include <json-c/json.h>

/* QEMU's block/block-common.h. */
#define NODE_NAME_SIZE 32

/*
 * The id of a secret object: QEMU takes letters, digits, '-', '.' and '_', beginning with a letter. All
 * others become "_" and two hexadecimal digits, "_" included, so that no two usages have the same id.
 */
static char *secret_id(const char *usage)
{
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.";
        _cleanup_free_ char *id = malloc(strlen("secret-") + 3 * strlen(usage) + 1);
        char *p;

        if (!id)
                return NULL;
        p = stpcpy(id, "secret-");
        for (; *usage; usage++) {
                if (strchr(plain, *usage))
                        *p++ = *usage;
                else
                        p += sprintf(p, "_%02x", (unsigned) (unsigned char) *usage);
        }
        *p = 0;
        return TAKE_PTR(id);
}

/* Takes value; NULL, or one that cannot be added, is for want of memory. */
static int add(json_object *o, const char *key, json_object *value)
{
        if (value && json_object_object_add(o, key, value) == 0)
                return 0;
        json_object_put(value);
        return -ENOMEM;
}

static int add_string(json_object *o, const char *key, const char *value)
{
        return add(o, key, json_object_new_string(value));
}

static int add_bool(json_object *o, const char *key, bool value)
{
        return add(o, key, json_object_new_boolean(value));
}

/* What both the node of the format and that of the file begin with. */
static int begin_node(json_object *o, const char *name, const char *suffix, const char *driver,
                      bool read_only)
{
        char full[NODE_NAME_SIZE];
        int r;

        (void) snprintf(full, sizeof full, "%s%s", name, suffix);
        r = add_string(o, "node-name", full);
        if (r >= 0)
                r = add_string(o, "driver", driver);
        if (r >= 0)
                r = add_bool(o, "read-only", read_only);
        if (r >= 0 && !read_only)
                r = add_string(o, "discard", "unmap");
        return r;
}

static int add_file(json_object *o, const GuestImage *image, const char *name, bool read_only)
{
        json_object *file = json_object_new_object();
        int r = add(o, "file", file);

        if (r >= 0)
                r = begin_node(file, name, "-file", image->block ? "host_device" : "file", read_only);
        return r < 0 ? r : add_string(file, "filename", image->path);
}

static int add_secret(json_object *o, const GuestImage *image)
{
        _cleanup_free_ char *id = secret_id(image->secret);
        json_object *encrypt = o;
        int r = id ? 0 : -ENOMEM;

        if (r >= 0 && !streq(image->format, "luks")) {
                encrypt = json_object_new_object();
                r = add(o, "encrypt", encrypt);
                if (r >= 0)
                        r = add_string(encrypt, "format", "luks");
        }
        return r < 0 ? r : add_string(encrypt, "key-secret", id);
}

/* The node of image i, and in it those of all that it is built on. */
static int fill_node(json_object *o, const GuestDisk *d, size_t i, const char *base)
{
        const GuestImage *image = &d->images[i];
        const GuestFormat *format = guest_format_find(image->format);
        bool read_only = i > 0 || d->read_only;
        char name[NODE_NAME_SIZE];
        json_object *backing;
        int r;

        (void) snprintf(name, sizeof name, i > 0 ? "%s-b%zu" : "%s", base, i);
        /* Without its secret a LUKS container is passed on as it is. */
        r = begin_node(o, name, "", streq(image->format, "luks") && !image->secret ? "raw" : format->driver,
                       read_only);
        if (r >= 0 && image->secret)
                r = add_secret(o, image);
        if (r >= 0)
                r = add_file(o, image, name, read_only);
        if (r < 0 || !format->backing)
                return r;
        if (i + 1 == d->n_images)
                return json_object_object_add(o, "backing", NULL) == 0 ? 0 : -ENOMEM;
        backing = json_object_new_object();
        r = add(o, "backing", backing);
        return r < 0 ? r : fill_node(backing, d, i + 1, base);
}

static bool node_name_is_valid(const char *name)
{
        static const char digits[] = "0123456789-._";

        for (const char *p = name; *p; p++) {
                bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');

                if (!letter && (p == name || !strchr(digits, *p)))
                        return false;
        }
        return *name && strlen(name) <= GUEST_NODE_NAME_MAX;
}

/* The same for the same path, so that what is plugged can be found again: FNV-1a of 64 bits. */
static void name_by_path(const char *path, char ret[static NODE_NAME_SIZE])
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (; *path; path++)
                hash = (hash ^ (unsigned char) *path) * UINT64_C(0x100000001b3);
        (void) snprintf(ret, NODE_NAME_SIZE, "vol-%016lx", (unsigned long) hash);
}

int guest_disk_format_blockdev(const GuestDisk *disk, char **ret, sd_bus_error *error)
{
        const GuestImage *last = &disk->images[disk->n_images - 1];
        char name[NODE_NAME_SIZE];
        json_object *o;
        int r;

        if (disk->node_name && !node_name_is_valid(disk->node_name))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Option node-name must be a letter and up to %u letters, digits, '-', '.' "
                                  "and '_' behind it, not '%.64s'",
                                  GUEST_NODE_NAME_MAX - 1, disk->node_name);
        /* QEMU would look into its header for what to open, or show nothing where it is empty. */
        if (disk->open_end)
                return error_setf(
                        error, STORAGE_ERROR_UNSUPPORTED,
                        "%s, which is in no active pool, may have a backing store itself: start the "
                        "pool that it is in, or define one over its folder",
                        last->path);
        if (disk->node_name)
                (void) snprintf(name, sizeof name, "%s", disk->node_name);
        else
                name_by_path(disk->images[0].path, name);
        o = json_object_new_object();
        r = o ? fill_node(o, disk, 0, name) : -ENOMEM;
        if (r >= 0) {
                const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE);

                *ret = text ? strdup(text) : NULL;
                r = *ret ? 0 : -ENOMEM;
        }
        json_object_put(o);
        return r;
}
