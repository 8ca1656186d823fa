/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The service on the bus: what every part of this folder shares. The parts read arguments, ask the policy,
 * call the service and write replies; they keep no state of pools or volumes themselves.
 */

#include <bsd/sys/queue.h>

#include "interfaces/inhibitor.h"
#include "policy/policy.h"
#include "service/pool.h"

#define BUS_NAME "org.example.Storage1"
#define BUS_ROOT "/org/example/Storage1"
#define BUS_POOLS BUS_ROOT "/pool"
#define BUS_VOLUMES BUS_ROOT "/volume"
#define BUS_JOBS BUS_ROOT "/job"
#define MANAGER_INTERFACE "org.example.Storage1.Manager"
#define POOL_INTERFACE "org.example.Storage1.Pool"
#define VOLUME_INTERFACE "org.example.Storage1.Volume"
#define JOB_INTERFACE "org.example.Storage1.Job"

/* A pool of more volumes than this is listed by ListVolumes only: dbus-daemon drops who sends 32 MiB at
 * once. */
#define MANAGED_VOLUMES_MAX 10000U
#define LIST_LIMIT_MAX 10000U

typedef struct Held Held;
typedef struct PoolOnBus PoolOnBus;

typedef struct Bus {
        Manager *manager;
        sd_bus *bus;
        Policy *policy;
        Inhibitor *inhibitor;    /* NULL in session mode */
        TAILQ_HEAD(, Held) held; /* calls that wait for a pool's contents */
        unsigned n_held;
        TAILQ_HEAD(, PoolOnBus) pools;      /* what is registered for each pool's volumes */
        void (*check_idle)(void *userdata); /* something ended that may have kept the service alive */
        void *userdata;
} Bus;

extern const sd_bus_vtable manager_vtable[];
extern const sd_bus_vtable pool_vtable[];
extern const sd_bus_vtable volume_vtable[];
extern const sd_bus_vtable job_vtable[];

/* Puts all objects on the bus; the name is requested by the caller afterwards. Bus is freed by bus_free().
 */
int bus_new(Manager *m, sd_bus *bus, void (*check_idle)(void *userdata), void *userdata, Bus **ret);
Bus *bus_free(Bus *b);
DEFINE_CLEANUP(Bus *, bus_free)
/* A caller is connected, or a question is pending. */
bool bus_is_busy(const Bus *b);

/* announce.c */
extern const AnnounceHooks bus_announce_hooks;

/* Every method handler gets these as its userdata: bus_of() leads back from an object to the bus. */
static inline Bus *bus_of(const Manager *m)
{
        return m->hooks_userdata;
}

/* hold.c */
/*
 * Calls about the contents of a pool that is not scanned yet wait until it is. 1: go on; 0: held, the
 * handler returns 1 and is called again; negative: waited long enough (Inaccessible).
 */
int hold_until_scanned(Bus *b, Pool *pool, sd_bus_message *m, sd_bus_error *error);
/* The same for every pool that is being looked at after a restart. */
int hold_until_all_scanned(Bus *b, sd_bus_message *m, sd_bus_error *error);
/*
 * For calls that destroy contents on which others may be built: they wait until all pools are looked at again after a
 * restart, but not for ever. 1: go on; 0: held.
 */
int hold_for_dependents(Bus *b, sd_bus_message *m);
/* The same for calls that need not know the contents: they go on if the pool could not be looked at. */
int hold_while_adopting(Bus *b, Pool *pool, sd_bus_message *m, sd_bus_error *error);
/* For every message before anything else: what was held for it is forgotten once it is handled. */
void hold_take_up(Bus *b, sd_bus_message *m);
void hold_release(Bus *b, Pool *pool);
void hold_free(Bus *b);
