/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Looks at one device in a thread, which is left behind if the device does not answer. */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "backends/find-devices.h"

typedef struct Look {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool done;
        atomic_uint refs; /* who waits, and the thread */
        char *node;
        FoundDevice found;
        int result;
} Look;

static void look_unref(Look *look)
{
        FoundDevice *f = &look->found;

        if (atomic_fetch_sub(&look->refs, 1) > 1)
                return;
        block_contents_done(&f->contents);
        free(f->words);
        free(f->used_by);
        free(f->problem);
        free(look->node);
        (void) pthread_cond_destroy(&look->changed);
        (void) pthread_mutex_destroy(&look->lock);
        free(look);
}

static int look_at(Look *look)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(block_device_done) BlockDevice dev = {0};
        BackendContext ctx = {.error = &error};
        FoundDevice *f = &look->found;
        int r;

        r = block_device_find(&ctx, look->node, &dev);
        if (r >= 0) {
                f->size = dev.size;
                f->read_only = dev.read_only;
                r = block_device_probe(&ctx, &dev, &f->contents);
        }
        if (r >= 0)
                r = block_contents_describe(&f->contents, &f->words);
        if (r >= 0)
                r = block_device_describe_use(&ctx, &dev, &f->used_by);
        if (r >= 0)
                return 0;
        f->problem = strdup(error.message ?: "it cannot be looked at");
        return f->problem ? 0 : -ENOMEM;
}

static void *thread(void *userdata)
{
        Look *look = userdata;
        int r = look_at(look);

        (void) pthread_mutex_lock(&look->lock);
        look->result = r;
        look->done = true;
        (void) pthread_cond_signal(&look->changed);
        (void) pthread_mutex_unlock(&look->lock);
        look_unref(look);
        return NULL;
}

static Look *look_new(const char *node)
{
        Look *look = calloc(1, sizeof(*look));
        pthread_condattr_t attr;

        if (!look)
                return NULL;
        look->node = strdup(node);
        if (!look->node) {
                free(look);
                return NULL;
        }
        look->refs = 1;
        (void) pthread_mutex_init(&look->lock, NULL);
        (void) pthread_condattr_init(&attr);
        (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&look->changed, &attr);
        (void) pthread_condattr_destroy(&attr);
        return look;
}

/* Signals are the worker's own thread's. */
static int start(Look *look)
{
        pthread_attr_t attr;
        sigset_t all, before;
        pthread_t id;
        int r;

        (void) sigfillset(&all);
        (void) pthread_attr_init(&attr);
        (void) pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        atomic_fetch_add(&look->refs, 1);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&id, &attr, thread, look);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                look_unref(look);
        (void) pthread_attr_destroy(&attr);
        return -r;
}

static void move_results(FoundDevice *to, FoundDevice *from)
{
        if (!from->problem) {
                to->size = from->size;
                to->read_only = from->read_only;
        }
        to->problem = TAKE_PTR(from->problem);
        to->words = TAKE_PTR(from->words);
        to->used_by = TAKE_PTR(from->used_by);
        to->contents = from->contents;
        from->contents = (BlockContents){0};
}

int found_device_look(FoundDevice *device, uint64_t usec)
{
        uint64_t end = now_monotonic() + usec;
        struct timespec until = {.tv_sec = (time_t) (end / USEC_PER_SEC),
                                 .tv_nsec = (long) (end % USEC_PER_SEC * NSEC_PER_USEC)};
        Look *look = look_new(device->node);
        int r;

        if (!look)
                return -ENOMEM;
        r = start(look);
        if (r < 0) {
                look_unref(look);
                return r;
        }
        (void) pthread_mutex_lock(&look->lock);
        while (!look->done && pthread_cond_timedwait(&look->changed, &look->lock, &until) != ETIMEDOUT)
                ;
        device->silent = !look->done;
        r = look->done ? look->result : 0;
        if (look->done && r >= 0)
                move_results(device, &look->found);
        (void) pthread_mutex_unlock(&look->lock);
        look_unref(look);
        return r;
}
