/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the daemon keeps on disk. Reading happens once, at the start, before the service has a name on the
 * bus; writing is done by a worker of its own, because an fsync may take seconds beside busy neighbours.
 *
 *   <config>/pools/<name>.xml          definitions, libvirt's pool XML
 *   <config>/autostart/<name>.xml      symlinks to these
 *   <state>/intents/<id>               what is being done to what, while it can be half done
 *   <state>/incomplete/<n>             volumes whose contents were left half written
 *   <config>/secrets/<uuid>.value      passphrases, and in .info what they are called
 *   <state>/volume-secrets/<n>         which of them a volume is encrypted with
 *   <runtime>/active/<name>.xml        pools that are started; transient ones live here only
 *   <runtime>/autostarted/<uuid>       pools that need no autostart any more in this boot
 */

#include "service/manager.h"
#include "service/worker-process.h"

typedef struct StoreChange StoreChange;

typedef enum StoreFile {
        STORE_POOL,      /* a definition */
        STORE_AUTOSTART, /* the link */
        STORE_ACTIVE,
        STORE_AUTOSTARTED, /* by UUID */
        STORE_INTENT,
        STORE_INCOMPLETE,
        STORE_SECRET, /* by file name */
        STORE_VOLUME_SECRET,
} StoreFile;

/* Called when all changes of one call are durable, or have failed. */
typedef void (*StoreDone)(const sd_bus_error *error, void *userdata);

int store_new(Manager *m, Store **ret, sd_bus_error *error);
Store *store_free(Store *store);
DEFINE_CLEANUP(Store *, store_free)

/* The path of a file of the store; owned by the caller, NULL: out of memory. */
char *store_path(const Manager *m, StoreFile file, const char *name);

/* A list of changes that are applied one after the other. NULL is the empty list; every function may fail
 * with -ENOMEM. */
int store_change_write(const Manager *m, StoreChange **list, StoreFile file, const char *name,
                       const char *content);
/* Bytes that nobody else is to see: copies of them are wiped. */
int store_change_write_secret(const Manager *m, StoreChange **list, StoreFile file, const char *name,
                              const void *value, size_t size);
int store_change_remove(const Manager *m, StoreChange **list, StoreFile file, const char *name);
/* The autostart link of the pool of that name. */
int store_change_link(const Manager *m, StoreChange **list, const char *name);
StoreChange *store_change_free(StoreChange *list);
DEFINE_CLEANUP(StoreChange *, store_change_free)

/* Takes the list. done (may be NULL) is called from the event loop, also for an empty list. */
int store_apply(Store *store, StoreChange *list, StoreDone done, void *userdata);
/* Nothing waits to be written. */
bool store_is_idle(const Store *store);
/* Asks what the backends can do; done is called once, when m->abilities are filled. */
int store_describe(Store *store, StoreDone done, void *userdata);
