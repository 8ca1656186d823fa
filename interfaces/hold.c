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
        bool waiting; /* false once it was let go: if it comes again too early, it has waited long enough */
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

/* It was let go and has come again: the call is being handled just now, so this ends soon after. */
static void end_soon(Held *h)
{
        (void) sd_event_source_set_time_relative(h->timer, 0);
        (void) sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
}

static void let_go(Held *h)
{
        int r;

        h->waiting = false;
        (void) sd_event_source_set_enabled(h->timer, SD_EVENT_OFF);
        r = sd_bus_enqueue_for_read(h->bus->bus, h->m);
        if (r >= 0)
                return;
        (void) sd_bus_reply_method_errno(h->m, r, NULL);
        end_soon(h);
}

static int on_held_long_enough(sd_event_source *s, uint64_t usec, void *userdata)
{
        Held *h = userdata;
        Bus *b = h->bus;

        if (h->waiting) {
                let_go(h);
                return 0;
        }
        held_free(h);
        b->check_idle(b->userdata);
        return 0;
}

void hold_take_up(Bus *b, sd_bus_message *m)
{
        Held *h = find(b, m);

        if (h && !h->waiting)
                end_soon(h);
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

static int not_known(const Pool *pool, sd_bus_error *error)
{
        return sd_bus_error_setf(error, STORAGE_ERROR_INACCESSIBLE,
                                 "The contents of pool '%s' are not known yet: its storage does not answer",
                                 pool->def->name);
}

int hold_while_adopting(Bus *b, Pool *pool, sd_bus_message *m, sd_bus_error *error)
{
        Held *h = find(b, m);

        if (pool->scanned || !pool->adopting)
                return 1;
        if (h && h->waiting)
                return 0;
        if (h && h->pool == pool)
                return not_known(pool, error);
        /* One that has waited for another pool waits for this one too. */
        if (h)
                held_free(h);
        return hold(b, pool, m, error);
}

int hold_until_scanned(Bus *b, Pool *pool, sd_bus_message *m, sd_bus_error *error)
{
        int r;

        r = hold_while_adopting(b, pool, m, error);
        if (r <= 0 || pool->scanned || pool->state != POOL_ACTIVE)
                return r;
        return not_known(pool, error);
}

int hold_until_all_scanned(Bus *b, sd_bus_message *m, sd_bus_error *error)
{
        Pool *pool;
        int r;

        TAILQ_FOREACH (pool, &b->manager->pools, entry) {
                r = hold_until_scanned(b, pool, m, error);
                if (r <= 0)
                        return r;
        }
        return 1;
}

int hold_for_dependents(Bus *b, sd_bus_message *m)
{
        Pool *pool;

        TAILQ_FOREACH (pool, &b->manager->pools, entry) {
                _cleanup_bus_error_free_ sd_bus_error waited = SD_BUS_ERROR_NULL;
                int r = hold_while_adopting(b, pool, m, &waited);

                /* One that does not answer stops the work on its own volumes only. */
                if (r <= 0)
                        return r == 0 ? 0 : 1;
        }
        return 1;
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
