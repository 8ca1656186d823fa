/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Values of D-Bus properties as people read them. */

#include "tools/json.h"

typedef enum ShowKind {
        SHOW_TEXT, /* strings; lists with commas between */
        SHOW_SIZE,
        SHOW_TIME, /* µs since 1970 UTC, shown in local time */
        SHOW_BOOL,
        SHOW_MODE,
        SHOW_ID,       /* 4294967295 is none */
        SHOW_PROBLEMS, /* a(ss) */
        SHOW_PERCENT,
} ShowKind;

typedef struct ShowProperty {
        const char *name;
        ShowKind kind;
} ShowProperty;

/* Returns malloc'ed text, "" for nothing; NULL if out of memory. */
char *show_value(json_object *o, const char *name, ShowKind kind);

/* Prints "Label: value" lines for the properties, as labels their names in words. 0 or negative errno. */
int show_properties(json_object *o, const ShowProperty *properties, size_t n);
