/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Candidate: storage that a pool's source could be, as a search found it. A plain value that owns its
 * strings; what is not known is NULL or 0.
 */

#include "common/util.h"

typedef struct Candidate {
        char **devices; /* for source-devices */
        char **links;   /* stable names of the first device */
        char *name;     /* for source-name */
        char *format;   /* for source-format */
        uint64_t size;  /* bytes */
        char *vendor, *model, *serial;
        bool removable, read_only;
        char *contents;     /* what is on it, for people */
        char *used_by;      /* which mount, array or volume group has it, for people */
        char *used_by_pool; /* the name of a pool that claims it */
        char *unsuitable;   /* why it cannot be one as it is, for people; NULL: it can */
} Candidate;

/* Frees what it owns, not c itself, and zeroes it. */
void candidate_done(Candidate *c);

/*
 * On D-Bus it is an a{sv} of what is known: source-devices as, links as, source-name s, source-format s,
 * size t, vendor s, model s, serial s, removable b, read-only b, contents s, used-by s, used-by-pool s,
 * unsuitable s. Texts that are no UTF-8 are made so.
 */
int candidate_append(const Candidate *c, sd_bus_message *m);
/* Reads one a{sv} of an array of them. 1: read into the empty *ret, 0: end of the array. Unknown keys are
 * skipped. */
int candidate_read(sd_bus_message *m, Candidate *ret);
