/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The checks of a volume definition's parts, one by one: volume_def_validate() calls them all, and the XML
 * reader each at its element, so that the message can name the line. 0, or -EINVAL with InvalidArgument.
 */

#include <inttypes.h>

#include "common/volume-def.h"

/* The formats that volumes of such pools may have; NULL is fine. */
int volume_check_format(PoolType type, const char *format, sd_bus_error *error);
int volume_check_backing_path(const char *path, sd_bus_error *error);
int volume_check_backing_format(const char *format, sd_bus_error *error);
int volume_check_cluster_size(uint64_t size, sd_bus_error *error);
int volume_check_compat(const char *compat, sd_bus_error *error);
/* Secrets, cipher and IV generator; makes the secret's UUID canonical. */
int volume_check_encryption(VolumeEncryption *e, sd_bus_error *error);

/* _ENCRYPTION_MAX if there is none of that name. */
EncryptionFormat encryption_format_from_string(const char *s);
