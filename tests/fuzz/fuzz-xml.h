/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the targets for XML expect of every outcome. */

#include "common/errors.h"
#include "common/util.h"

#define must(condition)                                                                        \
        do {                                                                                   \
                if (!(condition)) {                                                            \
                        (void) fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
                        abort();                                                               \
                }                                                                              \
        } while (0)

/* Before the first input: errors have numbers by their names, as in the programs. */
static inline void register_errors(void)
{
        static bool registered;

        if (!registered)
                must(storage_errors_register() >= 0);
        registered = true;
}

/* A failure has one of our names and a message that D-Bus can carry; a success has neither. */
static inline void check_error(int r, const sd_bus_error *error)
{
        if (r >= 0) {
                must(!error->name);
                return;
        }
        must(r == -EBADMSG || r == -EINVAL);
        must(error->name && startswith(error->name, STORAGE_ERROR_PREFIX));
        must(error->message && utf8_is_valid(error->message));
}
