/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Secrets: passphrases that volumes are encrypted with. The daemon knows their names; their values are in
 * files that the store worker writes, and that the worker of a job hands to its tool as a descriptor.
 *
 *   <config>/secrets/<uuid>.value      the value, as it was given
 *   <config>/secrets/<uuid>.info       usage, UUID and description; without it the value is a leftover
 */

#include "service/job.h"

#define SECRETS_MAX 1024U
#define SECRET_SIZE_MAX 4096U
#define SECRET_USAGE_MAX 255U

typedef struct Secret Secret;
struct Secret {
        TAILQ_ENTRY(Secret) entry; /* in manager->secrets */
        char *usage;
        char *description; /* for people; never NULL */
        char uuid[37];
        bool stored; /* on disk; before that it only holds its name */
        bool busy;   /* being stored or removed */
};

typedef struct SecretValue {
        const char *usage;
        const char *uuid, *description; /* NULL: of the one that there is, or a new one */
        const void *value;              /* the caller's; copies of it are wiped */
        size_t size;
        bool force; /* replaces one that volumes are encrypted with */
} SecretValue;

/*
 * Stores a secret, or gives the one of that usage another value. *ret is a reference for the caller.
 * InvalidArgument, Exists (another one has the UUID), HasDependents, Busy, LimitsExceeded.
 */
int secret_set(Manager *m, const SecretValue *value, uid_t uid, Job **ret, sd_bus_error *error);
/* HasDependents while volumes are known to be encrypted with it, unless force; Busy while one is being made. */
int secret_remove(Manager *m, const char *name, bool force, uid_t uid, Job **ret, sd_bus_error *error);

/* By usage or UUID. NULL: no such. */
Secret *secret_find(Manager *m, const char *name);
/* The same, or NotFound. */
int secret_require(Manager *m, const char *name, const Secret **ret, sd_bus_error *error);
/* The file of the value; owned by the caller. NULL: out of memory. */
char *secret_value_path(Manager *m, const Secret *secret);

/* Reads the names of what there is. */
int secrets_load(Manager *m);
void secrets_free_all(Manager *m);
