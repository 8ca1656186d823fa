/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signals of the service as events that people and programs understand. */

#include "tools/json.h"
#include "tools/storagectl.h"

typedef struct Event {
        const char *kind;        /* pool, volume, job or service */
        const char *what;        /* added, removed, changed, refreshed, reset, completed, started, stopped */
        const char *path;        /* object path */
        char *name;              /* of the pool; POOL/VOLUME; number of the job */
        json_object *properties; /* what is new, by name; may be NULL */
} Event;

void event_done(Event *e);

/*
 * What the signal means: 1 with *ret filled (it borrows from m: use it before m goes); 0 if it is none of
 * those; negative errno. names maps object paths of pools to their names; it is kept up to date.
 */
int event_from_signal(sd_bus_message *m, json_object *names, Event *ret);

/* Prints one line, with the time, and flushes it. 0 or negative errno. */
int event_print(const Event *e, bool as_json);
