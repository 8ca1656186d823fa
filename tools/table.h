/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tables for people: a header line, columns as wide as their widest cell, numbers to the right. */

#include "common/util.h"

typedef struct Table Table;

/*
 * A table with these columns; a name that begins with '>' is a column aligned to the right. NULL if out of
 * memory. The names must outlive the table.
 */
Table *table_new(const char *const *columns, size_t n_columns);
Table *table_free(Table *t);
DEFINE_CLEANUP(Table *, table_free)

/*
 * Adds one cell, row by row; an empty one is shown as "-". What a terminal must not see (control characters,
 * bad UTF-8) is replaced. 0 or -ENOMEM.
 */
int table_add(Table *t, const char *cell);
/* Adds a size as people read it ("10.00 GiB"). 0 or -ENOMEM. */
int table_add_size(Table *t, uint64_t bytes);

/* Writes the table to f, with its header if legend. 0, or -EIO if that failed. */
int table_print(const Table *t, FILE *f, bool legend);

/* Screen columns that a valid UTF-8 string takes. */
size_t text_width(const char *s);
