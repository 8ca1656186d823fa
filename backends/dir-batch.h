/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Entries of a folder, looked at by two threads at once: most of the time goes into waiting for the storage,
 * and into the kernel. The second thread only ever calls see_entry(); while it begins with a batch, the
 * first may deal with the batch before.
 */

#include "backends/dir-look.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* Of what getdents gives in one go. */
#define BATCH_BUFFER_SIZE (64U * 1024U)

typedef struct BatchEntry {
        const char *name; /* in the batch's buffer */
        ScanEntry *entry; /* of that name, or NULL; nobody may change it while the batch is looked at */
        unsigned char d_type;
        int result; /* of see_entry() */
        Seen seen;
} BatchEntry;

typedef struct Batch {
        char *buffer;
        BatchEntry *entries;
        size_t n;
        atomic_size_t next; /* the first that neither thread has taken */
} Batch;

/* 0 or -ENOMEM. */
int batch_init(Batch *b);
/* Forgets what was seen and not taken over. */
void batch_clear(Batch *b);
void batch_done(Batch *b);
/* There is room for all that the buffer can hold. name stays the caller's, for as long as it is in the
 * batch. */
void batch_add(Batch *b, const char *name, unsigned char d_type, ScanEntry *entry);

/* All zero but folder: no thread yet. */
typedef struct BatchHelper {
        const Folder *folder;
        size_t n_entries; /* met so far */
        Batch *batch;     /* begun and not finished */
        pthread_t thread;
        bool runs;
        sem_t begin, end;       /* told to the thread, and by it */
        _Atomic(Batch *) offer; /* what the thread has not taken up yet */
        atomic_bool quit;
} BatchHelper;

/* The other thread begins with the batch, if there is one: it starts once a pass has proved to be long. */
void batch_begin(BatchHelper *h, Batch *b);
/*
 * Takes part, until all of the batch was looked at. pause() is called between a few entries and the next: a
 * negative errno ends it all, and is returned.
 */
int batch_finish(BatchHelper *h, int (*pause)(void *userdata), void *userdata);
/* Ends the thread. What it works on is looked at no further. */
void batch_helper_done(BatchHelper *h);
