/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef NDEBUG
#include <assert.h>

#include "backends/name-table.h"

#define N 5000U

typedef struct Thing {
        Named named;
        char name[16];
} Thing;

static Thing things[N];

static void fill(NameTable *t)
{
        for (unsigned i = 0; i < N; i++) {
                (void) snprintf(things[i].name, sizeof(things[i].name), "thing-%u", i);
                things[i].named.name = things[i].name;
                assert(!name_table_find(t, things[i].name));
                assert(name_table_insert(t, &things[i].named) == 0);
        }
        assert(t->n == N);
}

/* Every one that is left is found, and nothing else. */
static void check(const NameTable *t, unsigned step)
{
        for (unsigned i = 0; i < N; i++)
                assert(name_table_find(t, things[i].name) == (i % step ? &things[i].named : NULL));
}

static void test_insert_find_remove(void)
{
        NameTable t = {0};

        assert(!name_table_find(&t, "thing-0"));
        fill(&t);
        for (unsigned i = 0; i < N; i++)
                assert(name_table_find(&t, things[i].name) == &things[i].named);
        for (unsigned i = 0; i < N; i += 3)
                name_table_remove(&t, &things[i].named);
        check(&t, 3);
        for (unsigned i = 0; i < N; i += 3)
                assert(name_table_insert(&t, &things[i].named) == 0);
        assert(t.n == N);
        name_table_done(&t);
}

/* As a sweep does it: removal while the slots are gone through meets each once at least. */
static void test_remove_in_a_loop(void)
{
        NameTable t = {0};

        fill(&t);
        for (size_t i = 0; i < t.n_slots;) {
                Thing *thing = (Thing *) t.slots[i];

                if (!thing || (thing - things) % 2) {
                        i++;
                        continue;
                }
                name_table_remove(&t, &thing->named);
        }
        assert(t.n == N / 2);
        check(&t, 2);
        name_table_done(&t);
}

int main(void)
{
        test_insert_find_remove();
        test_remove_in_a_loop();
        return 0;
}
