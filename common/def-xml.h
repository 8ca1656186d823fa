/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The parts of XML that pools and volumes have in common, and what the files of the codec share. */

#include "common/pool-def.h"
#include "common/xml-reader.h"
#include "common/xml-writer.h"

/* Rows of <permissions>; target: Permissions. */
extern const XmlElement permissions_elements[];
/* Rows of <source> in a pool; target: PoolDef, whose type is set. */
extern const XmlElement pool_source_elements[];

/* Only what is set; nothing if nothing is. */
void permissions_write(XmlWriter *w, const Permissions *p);

/* A <secret>'s uuid and usage attributes; which of them there must be is for the caller to check. */
int secret_read(xmlNode *node, char **uuid, char **usage, sd_bus_error *error);

/* Indices are those of AuthType, AdapterType and RefreshAllocation; [0] is "". NULL-terminated. */
extern const char *const auth_type_names[];
extern const char *const adapter_type_names[];
extern const char *const refresh_allocation_names[];
/* "no", "yes" */
extern const char *const yes_no_names[];
