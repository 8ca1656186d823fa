/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Objects of the service as people call them. */

#include "tools/json.h"

/* Appends the name of each pool of the service's root (see read_root()) to names, by object path. 0 or negative errno. */
int object_names_read(json_object *root, json_object *names);
/*
 * The pool's name, POOL/VOLUME, or the last part of another path, owned by the caller. names: of pools, by object path;
 * one that is not among them is called by its UUID. NULL if out of memory.
 */
char *object_name(json_object *names, const char *path);
