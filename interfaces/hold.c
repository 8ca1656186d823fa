/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/bus.h"

#define HOLD_USEC (10 * USEC_PER_SEC)
#define HELD_MAX 1024U

struct Held {
        TAILQ_ENTRY(Held) entry;
        Bus *bus;
        Pool *pool;
        sd_bus_message *m;
        sd_event_source *timer;
        bool waiting; /* false once it has been let go: if it comes again too early, it waited long enough */
};

static void held_free(Held *h)
{
        TAILQ_REMOVE(&h->bus->held, h, entry);
        h->bus->n_held--;
        sd_event_source_disable_unref(h->timer);
        sd_bus_message_unref(h->m);
        pool_unref(h->pool);
        free(h);
}

static Held *find(Bus *b, sd_bus_message *m)
{
        Held *h;

        TAILQ_FOREACH (h, &b->held, entry) {
                if (h->m == m)
                        return h;
        }
        return NULL;
}

static void let_go(Held *h)
{
        h->waiting = false;
        if (sd_bus_enqueue_for_read(h->bus->bus, h->m) < 0)
                held_free(h);
}

static int on_held_long_enough(sd_event_source *s, uint64_t usec, void *userdata)
{
        let_go(userdata);
        return 0;
}

static int hold(Bus *b, Pool *pool, sd_bus_message *m, sd_bus_error *error)
{
        Held *h;
        int r;

        if (b->n_held >= HELD_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                         "Too many calls wait for the contents of pools");
        h = calloc(1, sizeof *h);
        if (!h)
                return -ENOMEM;
        r = sd_event_add_time_relative(b->manager->event, &h->timer, CLOCK_MONOTONIC, HOLD_USEC, 0,
                                       on_held_long_enough, h);
        if (r < 0) {
                free(h);
                return r;
        }
        h->bus = b;
        h->pool = pool_ref(pool);
        h->m = sd_bus_message_ref(m);
        h->waiting = true;
        TAILQ_INSERT_TAIL(&b->held, h, entry);
        b->n_held++;
        return 0;
}

int hold_until_scanned(Bus *b, Pool *pool, sd_bus_message *m, sd_bus_error *error)
{
        bool known = pool->scanned || !pool->adopting;
        Held *h = find(b, m);

        if (known) {
                if (h && h->pool == pool)
                        held_free(h);
                return 1;
        }
        if (h && h->waiting)
                return 0;
        if (!h)
                return hold(b, pool, m, error);
        held_free(h);
        return sd_bus_error_setf(error, STORAGE_ERROR_INACCESSIBLE,
                                 "The contents of pool '%s' are not known yet: its storage does not answer",
                                 pool->def->name);
}

void hold_release(Bus *b, Pool *pool)
{
        Held *h, *next;

        TAILQ_FOREACH_SAFE (h, &b->held, entry, next) {
                if (h->pool == pool && h->waiting)
                        let_go(h);
        }
}

void hold_free(Bus *b)
{
        Held *h;

        while ((h = TAILQ_FIRST(&b->held)))
                held_free(h);
}
