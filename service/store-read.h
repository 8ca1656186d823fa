/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What earlier daemons have left in the store, as folders of small files of lines "key=value". They are read
 * once, at the start, before the service has a name on the bus.
 */

#include <stdio.h>

#include "service/store.h"

typedef struct StoreField {
        const char *key;
        char *value; /* size bytes; "" is put there first. What does not fit is taken for missing */
        size_t size;
} StoreField;

#define STORE_FIELD(key, array)               \
        {                                     \
                (key), (array), sizeof(array) \
        }

/* Fills the fields from the file's lines; others are passed over. */
void store_read_fields(FILE *f, const StoreField *fields, size_t n);
/* A number, or what is there instead of it. */
uint64_t store_read_number(const char *value, uint64_t missing);
/*
 * Calls found for each file of that kind, in the order of the numbers that their names begin with. -EINVAL
 * from it: the file is reported and left alone; another error ends the walk, and is returned.
 */
int store_read_each(Manager *m, StoreFile kind, int (*found)(Manager *m, const char *name, FILE *f));
