/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files of the caller that contents of volumes come from and go to. */

#include "common/errors.h"
#include "common/util.h"

/*
 * Opens name, or takes standard input for "-", to read a volume's contents from; not from a terminal.
 * *ret_stream: it has no length of its own. The caller owns *ret. Negative errno and error.
 */
int source_open(const char *name, int *ret, bool *ret_stream, sd_bus_error *error);

/* Where contents go: a new file, which gets its name only when it is whole. */
typedef struct Destination {
        int fd;
        const char *name; /* borrowed */
        char *temporary;  /* in the same folder; NULL: fd is what name already was */
        bool overwrite;
} Destination;

/*
 * Opens it, or takes standard output for "-"; not a terminal. A file that is there is refused (Exists)
 * unless overwrite; what is no regular file, such as a pipe or a device, is written to itself. Negative
 * errno and error.
 */
int destination_open(const char *name, bool overwrite, Destination *ret, sd_bus_error *error);
/* All is there: gives the file its name. Negative errno and error. */
int destination_publish(Destination *d, sd_bus_error *error);
/* Removes what has got no name. */
void destination_done(Destination *d);
