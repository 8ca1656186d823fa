/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/dir-batch.h"

#include <dirent.h>
#include <signal.h>

/* A name of one byte, padded. */
#define ENTRY_SIZE_MIN ((offsetof(struct dirent64, d_name) + 2 + 7) / 8 * 8)
#define BATCH_ENTRIES_MAX (BATCH_BUFFER_SIZE / ENTRY_SIZE_MIN)

/* What a thread takes in one go: much less than a batch, so that neither waits long for the other. */
#define SHARE 32U
/* Below, starting a thread costs more than it helps. */
#define ENTRIES_FOR_HELPER 2000U

int batch_init(Batch *b)
{
        *b = (Batch){
                .buffer = malloc(BATCH_BUFFER_SIZE),
                .entries = calloc(BATCH_ENTRIES_MAX, sizeof(BatchEntry)),
        };
        if (b->buffer && b->entries)
                return 0;
        batch_done(b);
        return -ENOMEM;
}

void batch_clear(Batch *b)
{
        for (size_t i = 0; i < b->n; i++)
                volume_extra_free(b->entries[i].seen.row.extra);
        b->n = 0;
        atomic_store(&b->next, 0);
}

void batch_done(Batch *b)
{
        batch_clear(b);
        free(b->entries);
        free(b->buffer);
        b->entries = NULL;
        b->buffer = NULL;
}

void batch_add(Batch *b, const char *name, unsigned char d_type, ScanEntry *entry)
{
        b->entries[b->n++] = (BatchEntry){.name = name, .d_type = d_type, .entry = entry};
}

static int look(const Folder *folder, Batch *b, int (*pause)(void *userdata), void *userdata)
{
        size_t at;

        while ((at = atomic_fetch_add(&b->next, SHARE)) < b->n) {
                size_t end = at + SHARE < b->n ? at + SHARE : b->n;
                int r;

                for (BatchEntry *e = b->entries + at; e < b->entries + end; e++)
                        e->result =
                                see_entry(folder, e->name, e->d_type, scan_entry_known(e->entry), &e->seen);
                r = pause ? pause(userdata) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static void wait_for(sem_t *s)
{
        while (sem_wait(s) < 0)
                ;
}

static void *run(void *userdata)
{
        BatchHelper *h = userdata;

        (void) pthread_setname_np(pthread_self(), "storaged-scan");
        for (;;) {
                Batch *b;

                wait_for(&h->begin);
                if (atomic_load(&h->quit))
                        return NULL;
                b = atomic_exchange(&h->offer, NULL);
                if (!b)
                        continue;
                (void) look(h->folder, b, NULL, NULL);
                (void) sem_post(&h->end);
        }
}

/* Without a thread all goes on, slower. */
static void start(BatchHelper *h)
{
        sigset_t all, before;

        (void) sem_init(&h->begin, 0, 0);
        (void) sem_init(&h->end, 0, 0);
        /* All signals are the first thread's: one of them interrupts what it waits for. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        h->runs = pthread_create(&h->thread, NULL, run, h) == 0;
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void batch_begin(BatchHelper *h, Batch *b)
{
        h->batch = b;
        h->n_entries += b->n;
        if (!h->runs && h->n_entries > ENTRIES_FOR_HELPER)
                start(h);
        if (h->runs) {
                atomic_store(&h->offer, b);
                (void) sem_post(&h->begin);
        }
}

/* Nobody takes any more of it, and nobody works on it. */
static void end(BatchHelper *h)
{
        atomic_store(&h->batch->next, h->batch->n);
        /* There is no need to wait until it wakes up and finds nothing left to do. */
        if (h->runs && !atomic_exchange(&h->offer, NULL))
                wait_for(&h->end);
        h->batch = NULL;
}

int batch_finish(BatchHelper *h, int (*pause)(void *userdata), void *userdata)
{
        int r;

        r = look(h->folder, h->batch, pause, userdata);
        end(h);
        return r;
}

void batch_helper_done(BatchHelper *h)
{
        if (h->batch)
                end(h);
        if (!h->runs)
                return;
        atomic_store(&h->quit, true);
        (void) sem_post(&h->begin);
        (void) pthread_join(h->thread, NULL);
        (void) sem_destroy(&h->begin);
        (void) sem_destroy(&h->end);
        h->runs = false;
}
