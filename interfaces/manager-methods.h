/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The method handlers of org.example.Storage1.Manager that have files of their own; userdata is the Manager.
 */

#include <systemd/sd-bus.h>

/* manager-secrets.c */
int manager_method_set_secret(sd_bus_message *m, void *userdata, sd_bus_error *error);
int manager_method_remove_secret(sd_bus_message *m, void *userdata, sd_bus_error *error);
int manager_method_list_secrets(sd_bus_message *m, void *userdata, sd_bus_error *error);
