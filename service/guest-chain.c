/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/guest-chain.h"

#include "service/device-id.h"
#include "service/incomplete.h"
#include "service/pool.h"
#include "service/volume-lock.h"
#include "service/volume-secret.h"

static int cannot(const Volume *v, const char *name, sd_bus_error *error, const char *why)
{
        return error_setf(error, name, "Volume '%s' of pool '%s' cannot be given to a guest: %s",
                          v->row.name, v->pool->def->name, why);
}

/* It is what it is, whatever its problem says that it looks like. */
static bool is_recorded(const Volume *v)
{
        return v->row.type == VOLUME_FILE && !v->row.format_probed;
}

/* What looks broken is not described: a guest would see something else than what was written. */
static int check_volume(const Volume *v, sd_bus_error *error)
{
        const VolumeExtra *extra = v->row.extra;
        _cleanup_free_ char *incomplete = NULL;

        if (incomplete_describe(v, &incomplete) < 0)
                return -ENOMEM;
        if (incomplete || (extra && extra->problem && !is_recorded(v)))
                return cannot(v, STORAGE_ERROR_FAILED, error, incomplete ?: extra->problem);
        if (v->row.type != VOLUME_FILE && v->row.type != VOLUME_BLOCK)
                return cannot(v, STORAGE_ERROR_UNSUPPORTED, error, "it is neither a file nor a device");
        if (streq(v->row.format, "extended"))
                return cannot(v, STORAGE_ERROR_UNSUPPORTED, error,
                              "it is an extended partition, which only holds others");
        return 0;
}

/*
 * Devices in pools that have no formats of images, or those of partitions, are raw, or containers: whether a
 * guest gets one of these opened is not for a header to decide that the guest may have written.
 */
static const char *own_format(const Volume *v, const char *secret)
{
        if (v->row.type != VOLUME_BLOCK)
                return v->row.format;
        return volume_is_container(v, !isempty(secret)) ? "luks" : "raw";
}

static int choose_format(const Volume *v, const char *wanted, const char *secret, const GuestFormat **ret,
                         sd_bus_error *error)
{
        const char *own = own_format(v, secret);
        const GuestFormat *format;

        if (wanted && !streq(wanted, "raw") && !streq(wanted, own))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Volume '%s' can be given to a guest as %s or raw, not as '%.64s'",
                                  v->row.name, own, wanted);
        format = guest_format_find(wanted ?: own);
        if (!format || !format->driver)
                return cannot(v, STORAGE_ERROR_UNSUPPORTED, error, "QEMU cannot read its format");
        *ret = format;
        return 0;
}

/*
 * The secret of a volume that is opened as that format, in *ret; NULL: none is needed. QEMU knows LUKS of
 * version 1 only.
 */
static int choose_secret(const Volume *v, const GuestFormat *format, const char *given, const char **ret,
                         sd_bus_error *error)
{
        EncryptionFormat e = v->row.extra ? v->row.extra->encryption : ENCRYPTION_NONE;
        bool container = streq(format->driver, "luks"), image = streq(format->driver, "qcow2");
        const char *name = given ?: volume_secret_name(v);
        bool encrypted = (container || image || streq(format->driver, "qcow")) && e != ENCRYPTION_NONE;

        *ret = NULL;
        if (!isempty(given) && !encrypted)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Volume '%s' is not encrypted, and needs no secret", v->row.name);
        if (!encrypted || (container && (e == ENCRYPTION_LUKS2 || given) && isempty(given)))
                return 0;
        if (e != ENCRYPTION_LUKS)
                return cannot(v, STORAGE_ERROR_UNSUPPORTED, error,
                              container ? "QEMU decrypts LUKS of version 1 only; without a secret the guest "
                                          "gets it as it is, and can decrypt it itself"
                                        : "QEMU decrypts LUKS of version 1 only");
        if (isempty(name))
                return error_setf(
                        error, STORAGE_ERROR_NOT_FOUND,
                        "Volume '%s' is encrypted, and it is not known with which secret: name its "
                        "usage or UUID in the option secret",
                        v->row.name);
        *ret = name;
        return 0;
}

static int add_volume(const Volume *v, const GuestFormat *format, const char *secret, GuestDisk *disk,
                      sd_bus_error *error)
{
        _cleanup_free_ char *path = volume_path(v);
        const char *needed;
        int r;

        r = choose_secret(v, format, secret, &needed, error);
        if (r < 0)
                return r;
        if (!path)
                return -ENOMEM;
        return guest_disk_add(disk, path, v->row.type == VOLUME_BLOCK, format->name, needed);
}

static const Volume *find_backing(const Volume *v)
{
        return volume_backing(v) ?: volume_find_by_device(v->pool->manager, v->overlay->backing);
}

/* What v names as its backing store, whose format is the recorded one. 0: there is none. */
static int read_backing(const Volume *v, const GuestFormat **ret, sd_bus_error *error)
{
        const VolumeExtra *extra = v->row.extra;

        if (extra && extra->data_file)
                return cannot(v, STORAGE_ERROR_UNSUPPORTED, error, "its data is in another file");
        if (!extra || isempty(extra->backing_path))
                return 0;
        if (!v->overlay)
                return cannot(v, STORAGE_ERROR_UNSUPPORTED, error, "its backing store is no file or device");
        if (isempty(extra->backing_format))
                return cannot(v, STORAGE_ERROR_UNSUPPORTED, error,
                              "it does not record the format of its backing store, and to guess that is not "
                              "safe; Rebase records it");
        *ret = guest_format_find(extra->backing_format);
        if (!*ret || !(*ret)->driver)
                return cannot(v, STORAGE_ERROR_UNSUPPORTED, error,
                              "its backing store has a format that QEMU cannot read");
        return 1;
}

static int add_foreign(const Volume *v, const GuestFormat *format, GuestDisk *disk, sd_bus_error *error)
{
        const char *path = v->overlay->backing;
        dev_t id;

        if (streq(format->driver, "luks"))
                return cannot(v, STORAGE_ERROR_UNSUPPORTED, error,
                              "its backing store is encrypted, and in no active pool");
        disk->open_end = format->backing;
        return guest_disk_add(disk, path, device_id_get(path, &id), format->name, NULL);
}

static int check_circle(const Volume *v, const GuestDisk *disk, sd_bus_error *error)
{
        const GuestImage *last = &disk->images[disk->n_images - 1];
        bool again = disk->n_images > CHAIN_MAX;

        for (size_t i = 0; i + 1 < disk->n_images; i++)
                again |= streq(disk->images[i].path, last->path);
        return again ? cannot(v, STORAGE_ERROR_FAILED, error,
                              "its chain of backing stores is endless, or longer than 256")
                     : 0;
}

int guest_chain_read(const Volume *v, const char *format, const char *secret, GuestDisk *disk,
                     sd_bus_error *error)
{
        const GuestFormat *f = NULL;
        int r;

        r = check_volume(v, error);
        if (r >= 0)
                r = choose_format(v, format, secret, &f, error);
        if (r >= 0)
                r = add_volume(v, f, secret, disk, error);
        while (r >= 0 && f->backing && (r = read_backing(v, &f, error)) > 0) {
                const Volume *backing = find_backing(v);

                if (!backing) {
                        r = add_foreign(v, f, disk, error);
                        return r < 0 ? r : check_circle(v, disk, error);
                }
                r = check_volume(backing, error);
                if (r >= 0)
                        r = add_volume(backing, f, NULL, disk, error);
                if (r >= 0)
                        r = check_circle(backing, disk, error);
                v = backing;
        }
        return r;
}

bool guest_chain_is_foreign(const Volume *v)
{
        for (unsigned n = 0; v && v->overlay && n < CHAIN_MAX; n++)
                v = find_backing(v);
        return !v;
}
