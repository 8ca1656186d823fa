/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The checks of a pool definition's parts, one by one: pool_def_validate() calls them all, and the XML
 * reader each at its element, so that the message can name the line. 0, or -EINVAL with InvalidArgument
 * (-ENOMEM).
 */

#include "common/pool-def.h"

int pool_check_uuid(char **uuid, sd_bus_error *error); /* makes it canonical */
int pool_check_host(const PoolHost *host, sd_bus_error *error);
int pool_check_device(PoolType type, const PoolDevice *device, sd_bus_error *error);
int pool_check_format(PoolType type, const char *format, sd_bus_error *error);
int pool_check_auth(PoolType type, PoolAuth *auth,
                    sd_bus_error *error); /* makes the secret's UUID canonical */
int pool_check_adapter(const PoolAdapter *adapter, sd_bus_error *error);
int pool_check_target_path(char **path, sd_bus_error *error); /* normalises it */
int pool_check_mount_option(const char *option, sd_bus_error *error);
/* Without what the type must have: for the <source> of a search. */
int pool_check_source(PoolDef *def, sd_bus_error *error);
