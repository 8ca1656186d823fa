/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/file-needs.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "backends/image-probe.h"
#include "backends/real-path.h"

#define NEEDS_MAX 8U
#define JSON_DEPTH_MAX 32

/* Nothing is mounted for it, and no server is asked. Both 0: it is not there. A device has no inode but its own. */
static void identify(const char *path, uint64_t *ret_dev, uint64_t *ret_ino)
{
        struct statx stx;

        *ret_dev = *ret_ino = 0;
        if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &stx) < 0)
                return;
        if (S_ISBLK(stx.stx_mode))
                *ret_dev = makedev(stx.stx_rdev_major, stx.stx_rdev_minor);
        else {
                *ret_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
                *ret_ino = stx.stx_ino;
        }
}

static int add_path(VolumeExtra *extra, const char *path)
{
        _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
        _cleanup_free_ char *real = NULL;
        uint64_t dev, ino;

        if (extra->n_needs >= NEEDS_MAX)
                return 0;
        if (fd >= 0 && real_path(fd, &real) == -ENOMEM)
                return -ENOMEM;
        identify(real ?: path, &dev, &ino);
        return volume_extra_add_need(extra, real ?: path, dev, ino);
}

static bool is_filename(const char *key)
{
        size_t n = strlen(key), wanted = strlen("filename");

        return n >= wanted && streq(key + n - wanted, "filename") && (n == wanted || key[n - wanted - 1] == '.');
}

/*
 * Of a "json:" name each file that it names, at whatever depth: {"file":{"filename":"/a"}}, {"file.filename":"/a"}.
 * It is enough to see which they are; nothing is opened on the strength of it.
 */
static int add_of_object(VolumeExtra *extra, struct json_object *object)
{
        int r = 0;

        json_object_object_foreach(object, key, value) {
                const char *name = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";

                if (json_object_is_type(value, json_type_object))
                        r = add_of_object(extra, value);
                else if (name[0] == '/' && is_filename(key))
                        r = add_path(extra, name);
                if (r < 0)
                        break;
        }
        return r;
}

/* QEMU takes single quotes, too, and so does the library. */
static int add_of_json(VolumeExtra *extra, const char *text)
{
        struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
        struct json_object *root;
        int r = 0;

        if (!tokener)
                return -ENOMEM;
        root = json_tokener_parse_ex(tokener, text, (int) strlen(text) + 1);
        json_tokener_free(tokener);
        if (json_object_is_type(root, json_type_object))
                r = add_of_object(extra, root);
        json_object_put(root);
        return r;
}

static int add_named(const char *folder, const char *name, VolumeExtra *extra)
{
        static const char *const protocols[] = {"", "file:", "host_device:"};
        _cleanup_free_ char *path = NULL;
        const char *rest;

        rest = startswith(name, "json:");
        if (rest)
                return add_of_json(extra, rest);
        for (size_t i = 0; i < ELEMENTSOF(protocols); i++) {
                rest = startswith(name, protocols[i]);
                if (rest && rest[0] == '/')
                        return add_path(extra, rest);
        }
        /* A protocol's name is relative to nothing that we know. */
        if (name[strcspn(name, ":/")] == ':')
                return 0;
        if (asprintf(&path, "%s/%s", folder, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return add_path(extra, path);
}

int file_needs_find(const char *folder, VolumeExtra *extra)
{
        int r = 0;

        /* Whoever is built on a device by one of its paths is known by that. */
        if (!isempty(extra->backing_path) && !startswith(extra->backing_path, "/dev/"))
                r = add_named(folder, extra->backing_path, extra);
        if (r >= 0 && !isempty(extra->data_file) && !streq(extra->data_file, IMAGE_DATA_FILE_UNNAMED))
                r = add_named(folder, extra->data_file, extra);
        return r;
}

bool file_needs_are_current(const VolumeExtra *extra)
{
        for (size_t i = 0; extra && i < extra->n_needs; i++) {
                uint64_t dev, ino;

                identify(extra->needs[i].path, &dev, &ino);
                if (dev != extra->needs[i].dev || ino != extra->needs[i].ino)
                        return false;
        }
        return true;
}
