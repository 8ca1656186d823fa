/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/transfer-hash.h"

#include <gcrypt.h>
#include <pthread.h>
#include <signal.h>

#define SUM_SIZE 32U

struct TransferHash {
        gcry_md_hd_t sum;
        pthread_t thread;
        bool runs; /* else it is done here and now */
        pthread_mutex_t lock;
        pthread_cond_t changed;
        const void *data; /* NULL: nothing to do */
        size_t n;
        bool stop;
};

static void *run(void *userdata)
{
        TransferHash *h = userdata;

        (void) pthread_setname_np(pthread_self(), "storaged-hash");
        (void) pthread_mutex_lock(&h->lock);
        while (!h->stop) {
                if (!h->data) {
                        (void) pthread_cond_wait(&h->changed, &h->lock);
                        continue;
                }
                (void) pthread_mutex_unlock(&h->lock);
                gcry_md_write(h->sum, h->data, h->n);
                (void) pthread_mutex_lock(&h->lock);
                h->data = NULL;
                (void) pthread_cond_signal(&h->changed);
        }
        (void) pthread_mutex_unlock(&h->lock);
        return NULL;
}

/* Signals are for the thread that moves the data. */
static void start_thread(TransferHash *h)
{
        sigset_t all, before;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        h->runs = pthread_create(&h->thread, NULL, run, h) == 0;
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int transfer_hash_new(TransferHash **ret)
{
        TransferHash *h = calloc(1, sizeof *h);

        if (!h)
                return -ENOMEM;
        if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
                (void) gcry_check_version(NULL);
                (void) gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
                (void) gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
        }
        if (gcry_md_open(&h->sum, GCRY_MD_SHA256, 0) != 0) {
                free(h);
                return -EOPNOTSUPP;
        }
        (void) pthread_mutex_init(&h->lock, NULL);
        (void) pthread_cond_init(&h->changed, NULL);
        start_thread(h);
        *ret = h;
        return 0;
}

static void wait_idle(TransferHash *h)
{
        while (h->data)
                (void) pthread_cond_wait(&h->changed, &h->lock);
}

TransferHash *transfer_hash_free(TransferHash *h)
{
        if (!h)
                return NULL;
        if (h->runs) {
                (void) pthread_mutex_lock(&h->lock);
                wait_idle(h);
                h->stop = true;
                (void) pthread_cond_signal(&h->changed);
                (void) pthread_mutex_unlock(&h->lock);
                (void) pthread_join(h->thread, NULL);
        }
        (void) pthread_cond_destroy(&h->changed);
        (void) pthread_mutex_destroy(&h->lock);
        gcry_md_close(h->sum);
        free(h);
        return NULL;
}

void transfer_hash_add(TransferHash *h, const void *data, size_t n)
{
        if (!h->runs) {
                gcry_md_write(h->sum, data, n);
                return;
        }
        (void) pthread_mutex_lock(&h->lock);
        wait_idle(h);
        h->data = data;
        h->n = n;
        (void) pthread_cond_signal(&h->changed);
        (void) pthread_mutex_unlock(&h->lock);
}

void transfer_hash_wait(TransferHash *h)
{
        if (!h->runs)
                return;
        (void) pthread_mutex_lock(&h->lock);
        wait_idle(h);
        (void) pthread_mutex_unlock(&h->lock);
}

void transfer_hash_end(TransferHash *h, char ret[static 65])
{
        const unsigned char *sum;

        transfer_hash_wait(h);
        sum = gcry_md_read(h->sum, GCRY_MD_SHA256);
        for (size_t i = 0; i < SUM_SIZE; i++)
                (void) snprintf(ret + 2 * i, 3, "%02x", sum[i]);
}
