/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/volume-check.h"

#include "common/def-util.h"

#define CLUSTER_SIZE_MIN 512U
#define CLUSTER_SIZE_MAX (2U * 1024U * 1024U)
/* QEMU's docs/interop/qcow2.txt: 32 subclusters of at least a sector each. */
#define CLUSTER_SIZE_MIN_EXTENDED_L2 (16U * 1024U)

static bool format_is(const VolumeDef *def, const char *name)
{
        return def->format && streq(def->format, name);
}

/* True if volumes of these pools are files, or as good as. */
int volume_check_format(PoolType type, const char *format, sd_bus_error *error)
{
        const PoolTypeInfo *info = pool_type_info(type);
        _cleanup_free_ char *known = NULL;

        if (!format)
                return 0;
        if (!info->volume_formats) {
                /* A plain block device by any name: what tools that know files only write there. */
                if (streq(format, "raw") || streq(format, "none"))
                        return 0;
                return def_invalid(error, "Volumes in pools of type %s have no format, so not '%.100s'",
                                   info->name, format);
        }
        if (def_list_has(info->volume_formats, format))
                return 0;
        known = def_list_join(info->volume_formats);
        return def_invalid(error, "'%.100s' is not a volume format of pools of type %s: they have %s",
                           format, info->name, strempty(known));
}

int volume_check_backing_path(const char *path, sd_bus_error *error)
{
        const char *colon = strchr(path, ':'), *slash = strchr(path, '/');

        if (colon && (!slash || colon < slash))
                return def_invalid(
                        error,
                        "The backing store '%.100s' is not a file's path: a ':' makes it a protocol's",
                        path);
        return def_check_text("path of the backing store", path, error);
}

int volume_check_backing_format(const char *format, sd_bus_error *error)
{
        if (!format || streq(format, "luks") ||
            (!streq(format, "dir") && def_list_has(pool_type_info(POOL_DIR)->volume_formats, format)))
                return 0;
        return def_invalid(error, "A backing store cannot be of the format '%.100s'", format);
}

int volume_check_cluster_size(uint64_t size, sd_bus_error *error)
{
        if (size == 0 || (size >= CLUSTER_SIZE_MIN && size <= CLUSTER_SIZE_MAX && (size & (size - 1)) == 0))
                return 0;
        return def_invalid(error, "The cluster size %" PRIu64 " is not a power of two between 512 and 2 MiB",
                           size);
}

int volume_check_compat(const char *compat, sd_bus_error *error)
{
        if (!compat || streq(compat, "0.10") || streq(compat, "1.1"))
                return 0;
        return def_invalid(error, "The compat level '%.100s' is neither 0.10 nor 1.1", compat);
}

static int fill_format(VolumeDef *def, PoolType type, sd_bus_error *error)
{
        const PoolTypeInfo *info = pool_type_info(type);
        int r;

        r = volume_check_format(type, def->format, error);
        if (r < 0)
                return r;
        if (!info->volume_formats)
                return free_and_strdup(&def->format, NULL);
        if (!def->format) {
                r = free_and_strdup(&def->format, info->default_volume_format);
                if (r < 0)
                        return r;
        }
        if (format_is(def, "dir"))
                def->type = VOLUME_DIR;
        else if (format_is(def, "ploop"))
                def->type = VOLUME_PLOOP;
        return 0;
}

static int check_backing(VolumeDef *def, PoolType type, sd_bus_error *error)
{
        static const char *const formats[] = {"cow", "qcow", "qcow2", "qed", "vmdk", NULL};
        int r;

        if (!def->backing_path) {
                if (def->backing_format)
                        return def_invalid(
                                error, "A format of the backing store of volume '%s' is given, but no path",
                                def->name);
                return 0;
        }
        /* There a backing store means a snapshot of another logical volume. */
        if (type != POOL_LOGICAL && (!def->format || !def_list_has(formats, def->format)))
                return def_invalid(error,
                                   "The volume '%s' of format '%s' cannot have a backing store: qcow2 can",
                                   def->name, def->format ? def->format : "none");
        r = volume_check_backing_path(def->backing_path, error);
        if (r < 0)
                return r;
        r = volume_check_backing_format(def->backing_format, error);
        if (r < 0)
                return r;
        return def_check_permissions(&def->backing_permissions, error);
}

static int check_sizes(VolumeDef *def, PoolType type, sd_bus_error *error)
{
        if (def->capacity > INT64_MAX || def->allocation > INT64_MAX)
                return def_invalid(error, "The size of volume '%s' is larger than 8 EiB", def->name);
        if (!def->capacity_set && !def->backing_path && def->type != VOLUME_DIR)
                return def_invalid(error,
                                   "The volume '%s' has no capacity, nor a backing store to take it from",
                                   def->name);
        if (def->capacity_set && def->capacity == 0 && (type == POOL_LOGICAL || type == POOL_DISK))
                return def_invalid(error,
                                   "The volume '%s' needs a capacity of more than zero in a pool of type %s",
                                   def->name, pool_type_to_string(type));
        if (!def->allocation_set)
                def->allocation = def->capacity;
        return 0;
}

static int check_qcow2(VolumeDef *def, sd_bus_error *error)
{
        bool features = def->lazy_refcounts == TRISTATE_YES || def->extended_l2 == TRISTATE_YES;
        int r;

        if (!format_is(def, "qcow2") && (features || def->compat || def->cluster_size > 0))
                return def_invalid(error,
                                   "compat, cluster size and features are for qcow2 volumes, and '%s' is %s",
                                   def->name, def->format ? def->format : "a block device");
        r = volume_check_compat(def->compat, error);
        if (r < 0)
                return r;
        r = volume_check_cluster_size(def->cluster_size, error);
        if (r < 0)
                return r;
        if (features && def->compat && streq(def->compat, "0.10"))
                return def_invalid(error, "The features of volume '%s' need compat 1.1, not 0.10",
                                   def->name);
        if (def->extended_l2 == TRISTATE_YES && def->cluster_size > 0 &&
            def->cluster_size < CLUSTER_SIZE_MIN_EXTENDED_L2)
                return def_invalid(error,
                                   "extended_l2 of volume '%s' needs a cluster size of at least 16 KiB",
                                   def->name);
        return 0;
}

/* Which formats can hold which encryption; block devices take LUKS, whatever a partition says is in it. */
static bool encryption_fits(const VolumeDef *def, PoolType type)
{
        bool raw = type == POOL_DISK ? !format_is(def, "extended") : !def->format || format_is(def, "raw");

        switch (def->encryption.format) {
        case ENCRYPTION_QCOW:
                return format_is(def, "qcow") || format_is(def, "qcow2");
        case ENCRYPTION_LUKS2:
                return raw;
        default:
                return raw || format_is(def, "qcow2");
        }
}

/* Names of ciphers and hashes go to other programs: words of the alphabet that these have. */
static int check_cipher_word(const char *what, const char *word, sd_bus_error *error)
{
        if (!word ||
            (*word && strlen(word) <= 64 &&
             !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")]))
                return 0;
        return def_invalid(error, "'%.100s' is not the name of a %s", word, what);
}

static int check_cipher(const VolumeEncryption *e, sd_bus_error *error)
{
        const struct {
                const char *what, *word;
        } words[] = {
                {"cipher", e->cipher_name},           {"cipher mode", e->cipher_mode},
                {"cipher hash", e->cipher_hash},      {"IV generator", e->ivgen_name},
                {"IV generator hash", e->ivgen_hash},
        };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                r = check_cipher_word(words[i].what, words[i].word, error);
                if (r < 0)
                        return r;
        }
        if (!e->cipher_name && !e->ivgen_name) {
                if (e->cipher_mode || e->cipher_hash || e->cipher_size || e->ivgen_hash)
                        return def_invalid(error, "The cipher of the encryption has no name");
                return 0;
        }
        if (!e->cipher_name || !e->ivgen_name || e->n_secrets == 0)
                return def_invalid(error,
                                   "The encryption's cipher needs an IV generator and a secret beside it");
        if (e->cipher_size == 0)
                return def_invalid(error, "The encryption's cipher has no size");
        if (!e->cipher_mode != !e->cipher_hash)
                return def_invalid(error, "The cipher's mode and hash go together");
        return 0;
}

int volume_check_encryption(VolumeEncryption *e, sd_bus_error *error)
{
        int r;

        if (e->n_secrets > 1)
                return def_invalid(error, "An encryption has one secret, not %zu", e->n_secrets);
        for (size_t i = 0; i < e->n_secrets; i++) {
                EncryptionSecret *s = &e->secrets[i];

                if (!s->type || !streq(s->type, "passphrase"))
                        return def_invalid(error, "The encryption's secret is not of type 'passphrase'");
                r = def_check_secret(&s->uuid, s->usage, error);
                if (r < 0)
                        return r;
        }
        return check_cipher(e, error);
}

static int check_encryption(VolumeDef *def, PoolType type, sd_bus_error *error)
{
        if (def->encryption.format != ENCRYPTION_NONE && !encryption_fits(def, type))
                return def_invalid(error, "The format %s of volume '%s' has no encryption '%s'", def->format,
                                   def->name, encryption_format_to_string(def->encryption.format));
        return volume_check_encryption(&def->encryption, error);
}

int volume_def_validate(VolumeDef *def, PoolType type, sd_bus_error *error)
{
        int r;

        r = volume_name_validate(def->name, error);
        if (r < 0)
                return r;
        r = fill_format(def, type, error);
        if (r < 0)
                return r;
        if (def->nocow && !pool_type_has_files(type))
                return def_invalid(error, "nocow is for files, and volumes in pools of type %s are none",
                                   pool_type_to_string(type));
        r = check_backing(def, type, error);
        if (r < 0)
                return r;
        r = check_sizes(def, type, error);
        if (r < 0)
                return r;
        r = check_qcow2(def, error);
        if (r < 0)
                return r;
        r = check_encryption(def, type, error);
        if (r < 0)
                return r;
        return def_check_permissions(&def->permissions, error);
}
