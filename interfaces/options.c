/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/options.h"

#include <fcntl.h>

#include "common/errors.h"

#define OPTIONS_MAX 64U

static int read_value(sd_bus_message *m, const Option *o, sd_bus_error *error)
{
        const char type[] = {o->type, 0}, *contents;
        char kind;
        int b, r;

        r = sd_bus_message_peek_type(m, &kind, &contents);
        if (r < 0)
                return r;
        if (!streq(contents, type))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Option '%s' must be of D-Bus type '%s', not '%s'", o->key, type,
                                  contents);
        if (o->type != 'b')
                return sd_bus_message_read(m, "v", type, o->target);
        r = sd_bus_message_read(m, "v", type, &b);
        if (r >= 0)
                *(bool *) o->target = b;
        return r;
}

static int unknown(const char *key, sd_bus_error *error)
{
        return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT, "Unknown option '%.64s'", key);
}

static int read_definition_key(sd_bus_message *m, const char *key, VolumeDef *def, sd_bus_error *error)
{
        const char *contents;
        char kind;
        int r;

        if (!def)
                return unknown(key, error);
        r = sd_bus_message_peek_type(m, &kind, &contents);
        if (r >= 0)
                r = volume_def_read_option(def, key, m, error);
        return r == 0 ? unknown(key, error) : r;
}

static int read_entry(sd_bus_message *m, const Option *options, size_t n, VolumeDef *def, uint64_t *seen,
                      sd_bus_error *error)
{
        const char *key;
        int r;

        r = sd_bus_message_read(m, "s", &key);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                if (!streq(key, options[i].key))
                        continue;
                if (*seen & UINT64_C(1) << i)
                        return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                          "Option '%s' is given twice", key);
                *seen |= UINT64_C(1) << i;
                return read_value(m, &options[i], error);
        }
        return read_definition_key(m, key, def, error);
}

int options_read_volume(sd_bus_message *m, const Option *options, size_t n, VolumeDef *def,
                        sd_bus_error *error)
{
        unsigned count = 0;
        uint64_t seen = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                if (++count > OPTIONS_MAX)
                        return error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many options");
                r = read_entry(m, options, n, def, &seen, error);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int options_set_secret(VolumeDef *def, const char *secret, sd_bus_error *error)
{
        if (!secret)
                return 0;
        if (def->encryption.format == ENCRYPTION_NONE)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Option secret is for volumes that are encrypted: give encryption, too");
        return volume_def_set_secret(def, secret);
}

int options_read(sd_bus_message *m, const Option *options, size_t n, sd_bus_error *error)
{
        return options_read_volume(m, options, n, NULL, error);
}

int options_read_descriptor(sd_bus_message *m, bool write, int *ret, sd_bus_error *error)
{
        int r = sd_bus_message_read(m, "h", ret), flags;

        if (r == -EBADMSG)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT, "No descriptor came with the call");
        if (r < 0)
                return r;
        flags = fcntl(*ret, F_GETFL);
        if (flags >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) != (write ? O_RDONLY : O_WRONLY))
                return 0;
        return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT, "The descriptor must be open for %s",
                          write ? "writing" : "reading");
}
