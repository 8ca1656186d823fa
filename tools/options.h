/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Command-line options as tables: one entry says how an option is written, what --help says of it, and
 * which key of a D-Bus a{sv} it becomes.
 */

#include "common/util.h"

typedef enum OptionKind {
        OPTION_FLAG,    /* b, takes no value */
        OPTION_STRING,  /* s */
        OPTION_YES_NO,  /* b */
        OPTION_SIZE,    /* t */
        OPTION_MODE,    /* u, octal */
        OPTION_USER,    /* u, by name or number */
        OPTION_GROUP,   /* u, by name or number */
        OPTION_NUMBER,  /* u */
        OPTION_STRINGS, /* as, may be repeated */
        OPTION_HOSTS,   /* a(sq), HOST[:PORT], may be repeated */
        OPTION_PAIRS,   /* a{ss}, KEY=VALUE, may be repeated */
} OptionKind;

typedef struct Option {
        const char *name;
        const char *value; /* for the help; NULL if the option takes none */
        OptionKind kind;
        /* In the a{sv}; "raid/level" is the key level in the a{sv} of the key raid, and such stand together
         * in a table. NULL if the command itself makes something of the option. */
        const char *key;
        const char *help;
} Option;

/* An option as it was given. Text is borrowed from argv. */
typedef struct OptionValue {
        const Option *option;
        const char *text;
        size_t length;   /* hosts: of the host, pairs: of the key, at the beginning of text */
        uint64_t number; /* sizes in bytes, modes, ids; yes is 1; hosts: the port or 0 */
} OptionValue;

#define OPTION_TABLES 3

typedef struct Args {
        const Option *tables[OPTION_TABLES]; /* NULL for none */
        OptionValue *values;
        size_t n_values;
        char **operands; /* borrowed from argv */
        size_t n_operands;
} Args;

/*
 * Takes argv apart (argv[0] is skipped; operands and options may be mixed) with the options of a->tables and
 * checks each value. Returns 0; -EINVAL with the reason for people in *ret_message (malloc'ed); -ENOMEM.
 * argv is permuted and must outlive a.
 */
int args_parse(Args *a, int argc, char **argv, char **ret_message);
void args_done(Args *a);

/* The last value given, NULL if there is none. The name must be in the tables. */
const OptionValue *args_find(const Args *a, const char *name);

static inline bool args_has(const Args *a, const char *name)
{
        return args_find(a, name);
}

static inline const char *args_get(const Args *a, const char *name)
{
        const OptionValue *v = args_find(a, name);

        return v ? v->text : NULL;
}

/* Whether any option of the table was given that becomes a key of an a{sv}. */
bool args_has_keys(const Args *a, const Option *table);

/* Whether the option says that key of the a{sv}, or a part of it. */
bool option_is_of_key(const Option *o, const char *key);

/* Appends what was given of the table's options to m, inside an open a{sv}. Negative errno of sd-bus. */
int args_append(const Args *a, const Option *table, sd_bus_message *m);
