/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The a{sv} options that end most methods: known keys into variables, anything else an error that names the
 * key.
 */

#include "common/volume-def.h"

#define WAIT_DEFAULT_USEC (20 * USEC_PER_SEC)

typedef struct Option {
        const char *key;
        char type;    /* D-Bus type of the value: b, s, t, u or o */
        void *target; /* bool *, const char ** (lives as long as the message), uint64_t *, uint32_t * */
} Option;

/* Reads the dictionary at m's read pointer. options: n rows. A key may be given once. InvalidArgument if not
 * as it should be. */
int options_read(sd_bus_message *m, const Option *options, size_t n, sd_bus_error *error);
/* As above; keys that are not among options are tried as keys of a volume's definition. */
int options_read_volume(sd_bus_message *m, const Option *options, size_t n, VolumeDef *def,
                        sd_bus_error *error);
/*
 * The option secret, the usage or UUID of one, into the definition; NULL: it was not given. InvalidArgument
 * if that has no encryption.
 */
int options_set_secret(VolumeDef *def, const char *secret, sd_bus_error *error);
/*
 * A descriptor that came with m, which owns it, if it is open for reading, or writing. Nothing else is asked
 * of it: what it leads to may not answer.
 */
int options_read_descriptor(sd_bus_message *m, bool write, int *ret, sd_bus_error *error);
