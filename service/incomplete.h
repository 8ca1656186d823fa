/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Volumes whose contents were being changed in place when that failed, was cancelled or was cut off: neither
 * what they were nor what they were to be. Each has a mark on disk, which lasts until what it is about has
 * been written completely, or the volume is gone. None is ever pushed out by others: where there are too
 * many, nothing more is changed in place.
 */

#include "service/pool.h"
#include "service/store.h"

/* Limits: marks in all, those that one user's jobs left, and ranges of bytes of one volume. */
#define INCOMPLETE_MAX 4096U
#define INCOMPLETE_PER_USER_MAX 1024U
#define INCOMPLETE_RANGES_MAX 8U
/* Of what incomplete_source() gives. */
#define INCOMPLETE_SOURCE_SIZE (36U + 1U + DEF_NAME_MAX + 1U)

/* What a job does in place. Nothing in it is owned. */
typedef struct InPlaceChange {
        const char *pool_uuid, *volume;
        const char *operation; /* "wipe-volume", for people */
        const char *from;      /* commit: the overlay, as incomplete_source() has it; else NULL */
        uid_t uid;             /* whose job it is */
        uint64_t since;        /* µs UTC: when that began */
        uint64_t as_of;        /* µs UTC: a state of that time is brought back; 0: what it writes is new */
        /* The bytes that are written; end UINT64_MAX: to its end; 0 to 0: none, but the image around the
         * contents needs to be put right if this does not come to its end. */
        uint64_t start, end;
} InPlaceChange;

/* Of what a change that came to its end is the proof, whatever had been cut off before. */
typedef enum InPlaceMends {
        MENDS_NOTHING,
        MENDS_BYTES,    /* they are what they are to be; if these are all, so is the volume */
        MENDS_SAME,     /* only what the same operation had left half done, from the same overlay */
        MENDS_ROOM,     /* what an image counts as used (0 to 0) was put right first */
        MENDS_CONTENTS, /* that, and the contents, as far as they were changed by way of the image's format
                         */
} InPlaceMends;

/*
 * Marks the volume. What that changes on disk is appended to list. Beyond INCOMPLETE_RANGES_MAX the ranges
 * of a volume become one that covers them.
 */
int incomplete_mark(Manager *m, StoreChange **list, const InPlaceChange *change);
/* The change came to its end: removes the marks that it mends. */
int incomplete_mend(Manager *m, StoreChange **list, const InPlaceChange *change, InPlaceMends mends);
/*
 * Takes the list: of one of the two above, and after it the removal of the intent that told of the change
 * until then. If the former cannot be written the intent stays, so that the next daemon marks the volume; it
 * goes with the mark.
 */
void incomplete_apply(Manager *m, StoreChange *list, const InPlaceChange *change, const char *intent);
/* The volume is gone, or is a new one. */
void incomplete_forget(Manager *m, const char *pool_uuid, const char *volume);
/* The volume has another name now. */
void incomplete_rename(Manager *m, const char *pool_uuid, const char *volume, const char *name);
/* An overlay has less in it than before: to commit it once more does not mend what it left. */
void incomplete_forget_source(Manager *m, const char *pool_uuid, const char *volume);
/* How an overlay is named in a mark; owned by the caller. NULL: out of memory. */
char *incomplete_source(const Volume *v);

/* LimitsExceeded: there are too many marks for a change in place of v that might leave another one. */
int incomplete_require_room(const Volume *v, uid_t uid, sd_bus_error *error);
bool incomplete_is_marked(const Volume *v);
/* It is marked, or a mark names it as the overlay that something came from. */
bool incomplete_knows(const Volume *v);
/* Failed, if its contents are neither the old nor the new ones, and so would be a copy, of which nobody knew
 * that. done: "cloned". */
int incomplete_require_whole(const Volume *v, const char *done, sd_bus_error *error);
/* The same of what overlay is built on, as it is read through that: what a commit of it has left unfinished, it
 * has all of. */
int incomplete_require_whole_below(const Volume *overlay, const Volume *backing, sd_bus_error *error);
/* What Volume.Problem says of it, in words for people, owned by the caller; *ret is NULL if it is not
 * marked. */
int incomplete_describe(const Volume *v, char **ret);
/* Reads the marks that earlier daemons left. */
int incomplete_load(Manager *m);
/* Forgets all of them in memory: at the daemon's end. */
void incomplete_free_all(Manager *m);
