/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which secret a volume was encrypted with: no image says so, and so a file of ours does, from its creation
 * until the volume is gone. A volume that was encrypted elsewhere, or has got another name while its pool was
 * not watched, has none: whoever needs its secret names that.
 */

#include "service/secret.h"
#include "service/store.h"

/* Limits: volumes of which the secret is known, in one pool and in all. */
#define VOLUME_SECRETS_PER_POOL_MAX 4096U
#define VOLUME_SECRETS_MAX 16384U

/* done is called when it is on disk. */
int volume_secret_record(Manager *m, const char *pool_uuid, const char *volume, const char *secret_uuid,
                         StoreDone done, void *userdata);
bool volume_secret_is_known(Manager *m, const char *pool_uuid, const char *volume);
/* The volume has another name now. */
void volume_secret_rename(Manager *m, const char *pool_uuid, const char *volume, const char *name);
/* The volume is gone. */
void volume_secret_forget(Manager *m, const char *pool_uuid, const char *volume);

/*
 * It is a LUKS container as a whole, that is opened with a secret, not an image with encryption in it. A
 * guest may have encrypted a device of its own: such a one counts only if its secret is known to us, or
 * named: named says so.
 */
bool volume_is_container(const Volume *v, bool named);
/* The usage, or if there is no such secret any more its UUID; NULL: not known. The record's. */
const char *volume_secret_name(const Volume *v);
/* Busy, if a job is making a volume that will be encrypted with it. */
int volume_secrets_require_no_job(Manager *m, const Secret *secret, const char *done, sd_bus_error *error);
/* HasDependents, with their names, if volumes are known to be encrypted with it. done: "removed". */
int volume_secrets_require_none(Manager *m, const Secret *secret, const char *done, sd_bus_error *error);
/* Adds it to def, which describes v. 0 or -ENOMEM. */
int volume_secret_add_to_def(const Volume *v, VolumeDef *def);

/*
 * The file of the secret that opens v, in *ret: of the one that given names (NULL: of the one that is
 * known). NULL if v is not encrypted. NotFound, InvalidArgument; Unsupported for what is not LUKS.
 */
int volume_secret_path(const Volume *v, const char *given, char **ret, sd_bus_error *error);

/* Appends the options of a worker's verb: the secret's file alone, if there is one. */
int volume_secret_append(sd_bus_message *m, const char *path);

/* LimitsExceeded: no more can be remembered of that pool, for a volume to be made. */
int volume_secrets_require_room(const Pool *pool, const char *volume, sd_bus_error *error);

/*
 * The file and the UUID of the secret that def, a volume to be made in pool, names; NULL and "" if it is not
 * to be encrypted. InvalidArgument: it names none; NotFound, LimitsExceeded.
 */
int volume_secret_for_new(const Pool *pool, const VolumeDef *def, char **ret_path, char ret_uuid[static 37],
                          sd_bus_error *error);

/*
 * The UUID of the secret that is known of source, for a container to be made in pool of its bytes as they
 * are; unchanged if there is none. LimitsExceeded.
 */
int volume_secret_for_copy(const Volume *source, const Pool *pool, const char *volume,
                           char ret_uuid[static 37], sd_bus_error *error);

int volume_secrets_load(Manager *m);
void volume_secrets_free_all(Manager *m);
