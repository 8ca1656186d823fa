/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Commands about one volume. */

#include "tools/call.h"

/*
 * For commands about one volume: an absolute path needs no pool, a name needs one. more: how many operands
 * come behind, which then names ("the size"; NULL for none). Returns an ExitStatus; has reported what is
 * wrong.
 */
int check_volume_operands(const Args *a, size_t more, const char *then);

/* A method of the volume that takes only options and answers a job. */
typedef struct VolumeChange {
        const char *interface, *member;
        const char *verb, *done; /* "wipe", "wiped" */
        const Option *options;   /* that become keys; may be NULL */
} VolumeChange;

/* The whole command. Returns an ExitStatus. */
int volume_change(Context *c, const Args *a, const VolumeChange *what);
