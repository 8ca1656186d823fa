/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The method handlers of org.example.Storage1.Volume that have files of their own; userdata is the Volume.
 */

#include <systemd/sd-bus.h>

/* volume-transfer.c: contents through descriptors */
int volume_method_upload(sd_bus_message *m, void *userdata, sd_bus_error *error);
int volume_method_download(sd_bus_message *m, void *userdata, sd_bus_error *error);
int volume_method_open_upload(sd_bus_message *m, void *userdata, sd_bus_error *error);
int volume_method_open_download(sd_bus_message *m, void *userdata, sd_bus_error *error);
/* volume-users.c */
int volume_method_list_users(sd_bus_message *m, void *userdata, sd_bus_error *error);
/* volume-wipe.c */
int volume_method_wipe(sd_bus_message *m, void *userdata, sd_bus_error *error);

/* volume-rebase.c: what a volume is built on */
int volume_method_flatten(sd_bus_message *m, void *userdata, sd_bus_error *error);
int volume_method_commit(sd_bus_message *m, void *userdata, sd_bus_error *error);
int volume_method_rebase(sd_bus_message *m, void *userdata, sd_bus_error *error);
/* volume-guest.c: for a guest's configuration */
int volume_method_get_disk_xml(sd_bus_message *m, void *userdata, sd_bus_error *error);
int volume_method_get_blockdev(sd_bus_message *m, void *userdata, sd_bus_error *error);
