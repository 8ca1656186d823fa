/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Two pools must not claim the same storage: libvirt's rules, type by type. */

#include "service/pool.h"

/*
 * Looks whether def can live beside the pools that there are. same: a pool not to compare with (the one that
 * is being redefined); NULL: none. follow: devices are the same if their paths lead to the same one now;
 * else only if they are spelt the same, which is for definitions that were accepted once, as the names of
 * devices may be dealt out anew by each boot. Exists for a name or UUID that is taken, Conflict for the same
 * storage; both name the other pool.
 */
int pool_conflict_check(Manager *m, const PoolDef *def, const Pool *same, bool follow, sd_bus_error *error);

/*
 * Names of devices may have been dealt out anew since both pools were defined. What is about to be built or
 * deleted must be no other pool's, and what is about to be started none's that runs (running).
 */
int pool_conflict_check_now(const Pool *pool, bool running, sd_bus_error *error);

/* The devices that all pools but one claim, to look up many: good until a definition changes. */
typedef struct DeviceClaims DeviceClaims;
int device_claims_new(Manager *m, const Pool *except, DeviceClaims **ret);
DeviceClaims *device_claims_free(DeviceClaims *c);
DEFINE_CLEANUP(DeviceClaims *, device_claims_free)
/* The pool that claims the device, and how it calls that one (may be NULL); NULL: none. */
const Pool *device_claims_find(const DeviceClaims *c, const char *device, const char **ret_path);
/* The pool that is the volume group of that name; NULL: none. */
const Pool *pool_conflict_find_group(Manager *m, const char *name);

/* Conflict if same must not claim that device as well. */
int pool_conflict_check_device(Manager *m, const char *device, const Pool *same, sd_bus_error *error);
