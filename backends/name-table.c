/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/name-table.h"

#include <sys/random.h>

#define SLOTS_MIN 64U

/* FNV-1a from a random start: names come from whoever may write to the folder. */
static uint32_t hash_name(const NameTable *t, const char *name)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325) ^ ((uint64_t) t->seed << 16);

        for (const unsigned char *p = (const unsigned char *) name; *p; p++)
                h = (h ^ *p) * UINT64_C(0x100000001b3);
        return (uint32_t) (h ^ h >> 32);
}

static size_t slot_of(const NameTable *t, uint32_t hash)
{
        return hash & (t->n_slots - 1);
}

Named *name_table_find(const NameTable *t, const char *name)
{
        uint32_t hash;

        if (t->n == 0)
                return NULL;
        hash = hash_name(t, name);
        for (size_t i = slot_of(t, hash); t->slots[i]; i = (i + 1) & (t->n_slots - 1)) {
                if (t->hashes[i] == hash && streq(t->slots[i]->name, name))
                        return t->slots[i];
        }
        return NULL;
}

static void put(NameTable *t, Named *named, uint32_t hash)
{
        size_t i = slot_of(t, hash);

        while (t->slots[i])
                i = (i + 1) & (t->n_slots - 1);
        t->slots[i] = named;
        t->hashes[i] = hash;
}

static int grow(NameTable *t)
{
        NameTable bigger = {
                .n_slots = t->n_slots > 0 ? t->n_slots * 2 : SLOTS_MIN,
                .n = t->n,
                .seed = t->seed,
        };

        if (bigger.seed == 0 && getrandom(&bigger.seed, sizeof(bigger.seed), GRND_NONBLOCK) < 0)
                bigger.seed = (uint32_t) now_monotonic();
        bigger.slots = calloc(bigger.n_slots, sizeof(Named *));
        bigger.hashes = malloc(bigger.n_slots * sizeof(uint32_t));
        if (!bigger.slots || !bigger.hashes) {
                name_table_done(&bigger);
                return -ENOMEM;
        }
        for (size_t i = 0; i < t->n_slots; i++) {
                if (t->slots[i])
                        put(&bigger, t->slots[i], t->hashes[i]);
        }
        name_table_done(t);
        *t = bigger;
        return 0;
}

int name_table_insert(NameTable *t, Named *named)
{
        /* Two thirds full at most: chains stay short with linear probing. */
        if (t->n * 3 >= t->n_slots * 2) {
                int r = grow(t);

                if (r < 0)
                        return r;
        }
        put(t, named, hash_name(t, named->name));
        t->n++;
        return 0;
}

void name_table_remove(NameTable *t, Named *named)
{
        size_t mask = t->n_slots - 1, hole = slot_of(t, hash_name(t, named->name));

        while (t->slots[hole] != named)
                hole = (hole + 1) & mask;
        /* Moves up those that would not be found any more behind the hole. */
        for (size_t i = (hole + 1) & mask; t->slots[i]; i = (i + 1) & mask) {
                size_t home = slot_of(t, t->hashes[i]);

                if (((i - home) & mask) >= ((i - hole) & mask)) {
                        t->slots[hole] = t->slots[i];
                        t->hashes[hole] = t->hashes[i];
                        hole = i;
                }
        }
        t->slots[hole] = NULL;
        t->n--;
}

void name_table_done(NameTable *t)
{
        free(t->slots);
        free(t->hashes);
        *t = (NameTable){0};
}
