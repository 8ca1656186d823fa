/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What reading and checking of pool and volume definitions share. Used by the codec only. */

#include <stdarg.h>

#include "common/errors.h"
#include "common/pool-def.h"
#include "common/util.h"

/*
 * Fills error (may be NULL) with that name and the formatted text, which is made valid UTF-8 first: it
 * quotes what a caller gave. Returns r, a negative errno, or -ENOMEM.
 */
int def_error(sd_bus_error *error, const char *name, int r, const char *format, ...) _printf_(4, 5);
int def_errorv(sd_bus_error *error, const char *name, int r, const char *format, va_list ap) _printf_(4, 0);

/* The same with InvalidArgument and -EINVAL. */
#define def_invalid(error, ...) def_error(error, STORAGE_ERROR_INVALID_ARGUMENT, -EINVAL, __VA_ARGS__)

/* True if XML and D-Bus can carry s unchanged: UTF-8 without control characters, U+FFFE and U+FFFF. */
bool def_text_is_clean(const char *s);
/* That, and no more than DEF_STRING_MAX bytes. NULL is fine. what is for the message. InvalidArgument. */
int def_check_text(const char *what, const char *s, sd_bus_error *error);
/* A pool's or a volume's ("pool", "volume") name. InvalidName. */
int def_check_name(const char *what, const char *name, sd_bus_error *error);
/* A mode of 0..0777 or MODE_UNSET, and a clean label. InvalidArgument. */
int def_check_permissions(const Permissions *p, sd_bus_error *error);

/* The secret of <auth> or <encryption>: exactly one of the two; *uuid becomes canonical. InvalidArgument. */
int def_check_secret(char **uuid, const char *usage, sd_bus_error *error);

/* Replaces *p by the string, which it takes over. */
void def_take_string(char **p, char *s);

/* True if the NULL-terminated list has s. list may be NULL. */
bool def_list_has(const char *const *list, const char *s);
/* "a, b, c" for messages, owned by the caller; NULL: out of memory. */
char *def_list_join(const char *const *list);

/*
 * The strings that a struct owns, by their offsets: one table a struct says what is freed, copied and
 * compared. def_strings_copy() gives *to copies of what *from has; *to's own pointers are not looked at. On
 * -ENOMEM *to has some of them, and may be freed.
 */
void def_strings_free(void *object, const size_t *offsets, size_t n);
int def_strings_copy(void *to, const void *from, const size_t *offsets, size_t n);
bool def_strings_equal(const void *a, const void *b, const size_t *offsets, size_t n);
