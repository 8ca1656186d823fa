/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The method handlers of org.example.Storage1.Pool; userdata is the Pool. */

#include <systemd/sd-bus.h>

/* pool-methods.c: the pool itself */
int pool_method_build(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_start(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_stop(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_delete(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_refresh(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_undefine(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_set_autostart(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_update(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_update_xml(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_get_xml(sd_bus_message *m, void *userdata, sd_bus_error *error);

/* pool-volumes.c: its volumes */
int pool_method_create_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_create_volume_xml(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_ensure_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_ensure_volume_xml(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_get_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_list_volumes(sd_bus_message *m, void *userdata, sd_bus_error *error);

/* volume-clone.c */
int pool_method_clone_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_clone_volume_xml(sd_bus_message *m, void *userdata, sd_bus_error *error);

/* pool-import.c */
int pool_method_import_volume(sd_bus_message *m, void *userdata, sd_bus_error *error);
int pool_method_open_import(sd_bus_message *m, void *userdata, sd_bus_error *error);
