/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/volume-def.h"

#include "common/def-util.h"
#include "common/volume-check.h"
#include "common/snapshot-name.h"
#include "common/worker-protocol.h"

static const char *const volume_type_names[_VOLUME_TYPE_MAX] = {
        [VOLUME_FILE] = "file",       [VOLUME_BLOCK] = "block",   [VOLUME_DIR] = "dir",
        [VOLUME_NETWORK] = "network", [VOLUME_NETDIR] = "netdir", [VOLUME_PLOOP] = "ploop",
};

static const char *const encryption_format_names[_ENCRYPTION_MAX] = {
        [ENCRYPTION_NONE] = "",     [ENCRYPTION_DEFAULT] = "default", [ENCRYPTION_QCOW] = "qcow",
        [ENCRYPTION_LUKS] = "luks", [ENCRYPTION_LUKS2] = "luks2",
};

static const size_t volume_strings[] = {
        offsetof(VolumeDef, name),
        offsetof(VolumeDef, key),
        offsetof(VolumeDef, target_path),
        offsetof(VolumeDef, format),
        offsetof(VolumeDef, permissions.label),
        offsetof(VolumeDef, encryption.cipher_name),
        offsetof(VolumeDef, encryption.cipher_mode),
        offsetof(VolumeDef, encryption.cipher_hash),
        offsetof(VolumeDef, encryption.ivgen_name),
        offsetof(VolumeDef, encryption.ivgen_hash),
        offsetof(VolumeDef, compat),
        offsetof(VolumeDef, backing_path),
        offsetof(VolumeDef, backing_format),
        offsetof(VolumeDef, backing_permissions.label),
};

static const size_t secret_strings[] = {
        offsetof(EncryptionSecret, type),
        offsetof(EncryptionSecret, uuid),
        offsetof(EncryptionSecret, usage),
};

const char *volume_type_to_string(VolumeType type)
{
        return type >= 0 && type < _VOLUME_TYPE_MAX ? volume_type_names[type] : NULL;
}

VolumeType volume_type_from_string(const char *s)
{
        for (VolumeType t = 0; s && t < _VOLUME_TYPE_MAX; t++) {
                if (streq(volume_type_names[t], s))
                        return t;
        }
        return _VOLUME_TYPE_INVALID;
}

const char *encryption_format_to_string(EncryptionFormat f)
{
        return f < _ENCRYPTION_MAX ? encryption_format_names[f] : "";
}

EncryptionFormat encryption_format_from_string(const char *s)
{
        for (EncryptionFormat f = 0; f < _ENCRYPTION_MAX; f++) {
                if (streq(encryption_format_names[f], s))
                        return f;
        }
        return _ENCRYPTION_MAX;
}

VolumeDef *volume_def_new(void)
{
        VolumeDef *def = calloc(1, sizeof(*def));

        if (!def)
                return NULL;
        def->permissions = PERMISSIONS_UNSET;
        def->backing_permissions = PERMISSIONS_UNSET;
        def->lazy_refcounts = TRISTATE_UNSET;
        def->extended_l2 = TRISTATE_UNSET;
        return def;
}

void volume_extents_free(VolumeExtent *extents, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(extents[i].device);
        free(extents);
}

int volume_extents_copy(const VolumeExtent *from, size_t n, VolumeExtent **ret, size_t *ret_n)
{
        VolumeExtent *copy;

        *ret = NULL;
        *ret_n = 0;
        if (n == 0)
                return 0;
        copy = *ret = calloc(n, sizeof(VolumeExtent));
        if (!copy)
                return -ENOMEM;
        for (; *ret_n < n; (*ret_n)++) {
                copy[*ret_n] = from[*ret_n];
                copy[*ret_n].device = strdup(strempty(from[*ret_n].device));
                if (!copy[*ret_n].device)
                        return -ENOMEM;
        }
        return 0;
}

static void free_secrets(VolumeEncryption *e)
{
        for (size_t i = 0; i < e->n_secrets; i++)
                def_strings_free(&e->secrets[i], secret_strings, ELEMENTSOF(secret_strings));
        free(TAKE_PTR(e->secrets));
        e->n_secrets = 0;
}

int volume_def_set_secret(VolumeDef *def, const char *name)
{
        EncryptionSecret *s = calloc(1, sizeof *s);
        char uuid[37];

        if (!s)
                return -ENOMEM;
        free_secrets(&def->encryption);
        def->encryption.secrets = s;
        def->encryption.n_secrets = 1;
        s->type = strdup("passphrase");
        if (uuid_normalize(name, uuid) >= 0)
                s->uuid = strdup(uuid);
        else
                s->usage = strdup(name);
        return s->type && (s->uuid || s->usage) ? 0 : -ENOMEM;
}

VolumeDef *volume_def_free(VolumeDef *def)
{
        if (!def)
                return NULL;
        free_secrets(&def->encryption);
        volume_extents_free(def->extents, def->n_extents);
        def_strings_free(def, volume_strings, ELEMENTSOF(volume_strings));
        free(def);
        return NULL;
}

static int copy_secrets(VolumeEncryption *to, const VolumeEncryption *from)
{
        if (from->n_secrets == 0)
                return 0;
        to->secrets = calloc(from->n_secrets, sizeof(EncryptionSecret));
        if (!to->secrets)
                return -ENOMEM;
        while (to->n_secrets < from->n_secrets) {
                size_t i = to->n_secrets++;
                int r = def_strings_copy(&to->secrets[i], &from->secrets[i], secret_strings,
                                         ELEMENTSOF(secret_strings));

                if (r < 0)
                        return r;
        }
        return 0;
}

int volume_def_copy(const VolumeDef *def, VolumeDef **ret)
{
        _cleanup_(volume_def_freep) VolumeDef *copy = calloc(1, sizeof(*copy));
        int r;

        if (!copy)
                return -ENOMEM;
        *copy = *def;
        copy->encryption.secrets = NULL;
        copy->encryption.n_secrets = 0;
        copy->extents = NULL;
        copy->n_extents = 0;
        r = def_strings_copy(copy, def, volume_strings, ELEMENTSOF(volume_strings));
        if (r >= 0)
                r = copy_secrets(&copy->encryption, &def->encryption);
        if (r >= 0)
                r = volume_extents_copy(def->extents, def->n_extents, &copy->extents, &copy->n_extents);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}

int volume_name_validate(const char *name, sd_bus_error *error)
{
        int r = def_check_name("volume", name, error);

        if (r >= 0 && startswith(name, SNAPSHOT_PREFIX))
                return error_setf(error, STORAGE_ERROR_INVALID_NAME,
                                  "'%s' is no name for a volume: those that begin with " SNAPSHOT_PREFIX
                                  " are of snapshots",
                                  name);
        /* It would be removed as a leftover. */
        if (r >= 0 && startswith(name, UNFINISHED_PREFIX))
                return error_setf(error, STORAGE_ERROR_INVALID_NAME,
                                  "'%s' is no name for a volume: those that begin with " UNFINISHED_PREFIX
                                  " are of what is being made",
                                  name);
        return r;
}

/* One option of CreateVolume: which field of the definition it is, by the type of its value. */
static const struct {
        const char *key;
        char type;
        size_t offset;
} volume_options[] = {
        {"format", 's', offsetof(VolumeDef, format)},
        {"compat", 's', offsetof(VolumeDef, compat)},
        {"encryption", 's', offsetof(VolumeDef, encryption.format)},
        {"backing-path", 's', offsetof(VolumeDef, backing_path)},
        {"backing-format", 's', offsetof(VolumeDef, backing_format)},
        {"allocation", 't', offsetof(VolumeDef, allocation)},
        {"cluster-size", 't', offsetof(VolumeDef, cluster_size)},
        {"mode", 'u', offsetof(VolumeDef, permissions.mode)},
        {"owner", 'u', offsetof(VolumeDef, permissions.owner)},
        {"group", 'u', offsetof(VolumeDef, permissions.group)},
        {"nocow", 'b', offsetof(VolumeDef, nocow)},
        {"lazy-refcounts", 'b', offsetof(VolumeDef, lazy_refcounts)},
        {"extended-l2", 'b', offsetof(VolumeDef, extended_l2)},
};

static int set_string_option(VolumeDef *def, const char *key, char **field, const char *s,
                             sd_bus_error *error)
{
        if (!streq(key, "encryption"))
                return free_and_strdup(field, isempty(s) ? NULL : s);
        def->encryption.format = encryption_format_from_string(s);
        if (def->encryption.format != _ENCRYPTION_MAX)
                return 0;
        def->encryption.format = ENCRYPTION_NONE;
        return def_invalid(error, "The encryption '%.100s' is none of default, qcow, luks, luks2", s);
}

static void set_bool_option(VolumeDef *def, const char *key, void *field, int b)
{
        if (streq(key, "nocow"))
                def->nocow = b;
        else
                *(Tristate *) field = b ? TRISTATE_YES : TRISTATE_NO;
}

static int set_option(VolumeDef *def, size_t i, sd_bus_message *m, sd_bus_error *error)
{
        const char *key = volume_options[i].key, *s;
        char *field = (char *) def + volume_options[i].offset;
        int b, r;

        switch (volume_options[i].type) {
        case 's':
                r = sd_bus_message_read_basic(m, 's', &s);
                return r < 0 ? r : set_string_option(def, key, (char **) field, s, error);
        case 'b':
                r = sd_bus_message_read_basic(m, 'b', &b);
                if (r >= 0)
                        set_bool_option(def, key, field, b);
                return r;
        default:
                def->allocation_set = def->allocation_set || streq(key, "allocation");
                return sd_bus_message_read_basic(m, volume_options[i].type, field);
        }
}

int volume_def_read_option(VolumeDef *def, const char *key, sd_bus_message *m, sd_bus_error *error)
{
        const char *contents;
        char type;
        size_t i;
        int r;

        for (i = 0; i < ELEMENTSOF(volume_options); i++) {
                if (streq(volume_options[i].key, key))
                        break;
        }
        if (i == ELEMENTSOF(volume_options))
                return 0;
        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        if (type != 'v' || contents[0] != volume_options[i].type || contents[1])
                return def_invalid(error, "The option '%s' has type '%.32s' instead of '%c'", key,
                                   strempty(contents), volume_options[i].type);
        r = sd_bus_message_enter_container(m, 'v', contents);
        if (r < 0)
                return r;
        r = set_option(def, i, m, error);
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}
