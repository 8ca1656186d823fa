/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A hash table of things that have a name, for hundreds of thousands of file names: open addressing, a
 * pointer and a hash a slot. The things are the caller's, and begin with a Named.
 */

#include "common/util.h"

typedef struct Named {
        const char *name; /* owned by the thing */
} Named;

/* All zero is an empty table. */
typedef struct NameTable {
        Named **slots;    /* NULL: free */
        uint32_t *hashes; /* of what is in the slots: most are passed by without a look at the thing */
        size_t n_slots, n;
        uint32_t seed;
} NameTable;

Named *name_table_find(const NameTable *t, const char *name);
/* There is none of that name in it yet. 0 or -ENOMEM. */
int name_table_insert(NameTable *t, Named *named);
/*
 * Takes it out; it is not freed. Others may move one or more slots towards the table's begin: a loop over
 * the slots looks at slot i again after it has removed what was there.
 */
void name_table_remove(NameTable *t, Named *named);
/* Frees the table's own memory, not the things. */
void name_table_done(NameTable *t);
