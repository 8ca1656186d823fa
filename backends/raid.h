/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The md array beneath a pool whose definition has one (pool->raid.level is set): its device is the pool's
 * first source device, its members are those of pool->raid. Called around the backend's own functions;
 * contracts are those of backend.h.
 */

#include "backends/backend.h"

typedef struct RaidWatch RaidWatch;

static inline bool pool_has_raid(const PoolDef *pool)
{
        return pool->raid.level != NULL;
}

/* Before the backend's build: makes the array. */
int raid_build(BackendContext *ctx, const BuildOptions *options, bool *ret_made);
/* Before the backend's start: assembles it, degraded if need be and possible; a running one is taken as it
 * is. */
int raid_start(BackendContext *ctx);
/* After the backend's stop: stops it, unless somebody else has it. */
int raid_stop(BackendContext *ctx);
/* Before the backend's delete. Failed if the members belong to an array that was made under another name:
 * devices get other names, and the definition may mean what is somebody else's by now. */
int raid_require_own(BackendContext *ctx);
/* After the backend's delete: stops it and wipes its members' superblocks. */
int raid_delete(BackendContext *ctx);
/* Is it running, made of the members that the definition names? */
int raid_check(BackendContext *ctx, bool *ret_active);
/* Adds level, action, members to the report, with health and problems when it is degraded. */
int raid_report(BackendContext *ctx, PoolReport *report);
/* action: "add", "fail" or "remove". */
int raid_change_member(BackendContext *ctx, const char *action, const char *device);

/* The kernel tells of fail, remove and add by no udev event: polls md/ in sysfs for what changes. */
int raid_watch_new(BackendContext *ctx, sd_event *event, void (*wake)(void *userdata), void *userdata,
                   RaidWatch **ret);
RaidWatch *raid_watch_free(RaidWatch *w);
