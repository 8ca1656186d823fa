/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The record that a file was made as a raw volume, and is one whatever it begins with: a guest may write an image's
 * header there, by which whoever looks at the contents would give it what that header names. It is an attribute of the
 * file (xattr(7)), so that it stays with it under any name and in any pool, and goes with it. Files of other formats
 * need none: no guest can change their headers.
 *
 * It holds only while the file is not shorter than it was: no guest can make it so, but a tool that writes a new image
 * over it does.
 */

#include <stdbool.h>
#include <stdint.h>

/* Records that it is raw, and to be so with at least size bytes; where the file system keeps no such attributes it
 * does nothing. 0 or negative errno. */
int format_record_raw(int fd, uint64_t size);
/* Takes the record away, if there is one: the contents count. 0 or negative errno. */
int format_record_remove(int fd);
/* Whether there is a record that holds for a file of that size, in bytes. */
bool format_is_recorded_raw(int fd, uint64_t size);
