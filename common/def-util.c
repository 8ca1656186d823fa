/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/def-util.h"

#include "common/pool-def.h"

int def_errorv(sd_bus_error *error, const char *name, int r, const char *format, va_list ap)
{
        _cleanup_free_ char *text = NULL, *clean = NULL;

        if (!error)
                return r;
        if (vasprintf(&text, format, ap) < 0) {
                text = NULL;
                return -ENOMEM;
        }
        if (utf8_make_valid(text, strlen(text), &clean) < 0)
                return -ENOMEM;
        sd_bus_error_free(error);
        (void) sd_bus_error_set(error, name, clean);
        return r;
}

int def_error(sd_bus_error *error, const char *name, int r, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        r = def_errorv(error, name, r, format, ap);
        va_end(ap);
        return r;
}

bool def_text_is_clean(const char *s)
{
        if (!utf8_is_valid(s))
                return false;
        for (; *s; s++) {
                const unsigned char *u = (const unsigned char *) s;

                if (u[0] < 0x20 || u[0] == 0x7f || (u[0] == 0xc2 && u[1] < 0xa0))
                        return false;
                if (u[0] == 0xef && u[1] == 0xbf && u[2] >= 0xbe)
                        return false;
        }
        return true;
}

int def_check_text(const char *what, const char *s, sd_bus_error *error)
{
        if (!s)
                return 0;
        if (strlen(s) > DEF_STRING_MAX)
                return def_invalid(error, "The %s is longer than %u bytes", what, DEF_STRING_MAX);
        if (!def_text_is_clean(s))
                return def_invalid(error, "The %s '%.100s' has control characters or is not UTF-8", what, s);
        return 0;
}

static int invalid_name(sd_bus_error *error, const char *format, ...) _printf_(2, 3);
static int invalid_name(sd_bus_error *error, const char *format, ...)
{
        va_list ap;
        int r;

        va_start(ap, format);
        r = def_errorv(error, STORAGE_ERROR_INVALID_NAME, -EINVAL, format, ap);
        va_end(ap);
        return r;
}

int def_check_name(const char *what, const char *name, sd_bus_error *error)
{
        if (isempty(name))
                return invalid_name(error, "The %s has no name", what);
        if (strlen(name) > DEF_NAME_MAX)
                return invalid_name(error, "The %s name '%.40s…' is longer than %u bytes", what, name,
                                    DEF_NAME_MAX);
        if (!def_text_is_clean(name))
                return invalid_name(error, "The %s name '%s' has control characters or is not UTF-8", what,
                                    name);
        if (strchr(name, '/'))
                return invalid_name(error, "The %s name '%s' has a '/': it must be a plain file name", what,
                                    name);
        if (streq(name, ".") || streq(name, ".."))
                return invalid_name(error, "'%s' cannot be a %s name: it is a folder's own entry", name,
                                    what);
        return 0;
}

int def_check_permissions(const Permissions *p, sd_bus_error *error)
{
        if (p->mode != MODE_UNSET && p->mode > 0777)
                return def_invalid(error, "The mode 0%o is more than 0777", p->mode);
        return def_check_text("label", p->label, error);
}

int def_check_secret(char **uuid, const char *usage, sd_bus_error *error)
{
        char canonical[37];
        int r;

        if (!*uuid == !usage)
                return def_invalid(error, "A secret is needed, named either by its UUID or by its usage");
        if (usage) {
                if (uuid_normalize(usage, canonical) >= 0)
                        return def_invalid(error,
                                           "The usage '%s' of a secret reads as a UUID: give it as the UUID",
                                           usage);
                return def_check_text("usage of the secret", usage, error);
        }
        if (uuid_normalize(*uuid, canonical) < 0)
                return def_invalid(error, "'%.100s' is not the UUID of a secret", *uuid);
        r = free_and_strdup(uuid, canonical);
        return r;
}

void def_take_string(char **p, char *s)
{
        free(*p);
        *p = s;
}

bool def_list_has(const char *const *list, const char *s)
{
        const char *const *i;

        STRV_FOREACH (i, list) {
                if (streq(*i, s))
                        return true;
        }
        return false;
}

char *def_list_join(const char *const *list)
{
        const char *const *i;
        char *text = NULL;
        size_t n = 0;
        FILE *f;

        f = open_memstream(&text, &n);
        if (!f)
                return NULL;
        STRV_FOREACH (i, list) {
                (void) fprintf(f, "%s%s", i == list ? "" : ", ", *i);
        }
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

static char **string_at(const void *object, size_t offset)
{
        return (char **) ((char *) (uintptr_t) object + offset);
}

void def_strings_free(void *object, const size_t *offsets, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(*string_at(object, offsets[i]));
                *string_at(object, offsets[i]) = NULL;
        }
}

int def_strings_copy(void *to, const void *from, const size_t *offsets, size_t n)
{
        for (size_t i = 0; i < n; i++)
                *string_at(to, offsets[i]) = NULL;
        for (size_t i = 0; i < n; i++) {
                int r = free_and_strdup(string_at(to, offsets[i]), *string_at(from, offsets[i]));

                if (r < 0)
                        return r;
        }
        return 0;
}

bool def_strings_equal(const void *a, const void *b, const size_t *offsets, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (!streq_ptr(*string_at(a, offsets[i]), *string_at(b, offsets[i])))
                        return false;
        }
        return true;
}
