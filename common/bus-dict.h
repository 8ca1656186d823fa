/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An a{sv} on D-Bus: entries whose values are arrays. */

#include "common/util.h"

/*
 * Opens the entry of that key, whose value is an array of that signature ("a(sq)"): then come the elements,
 * then bus_dict_close_array(). 0 or negative errno.
 */
int bus_dict_open_array(sd_bus_message *m, const char *key, const char *signature);
int bus_dict_close_array(sd_bus_message *m);

/* Reading: the read pointer is at an entry's variant. Enters the array in it, and leaves it after the last.
 */
int bus_dict_enter_array(sd_bus_message *m, const char *signature);
int bus_dict_exit_array(sd_bus_message *m);

/*
 * Reads the a{sv} at the read pointer: calls entry for each, with the read pointer at its variant, which it
 * reads or skips. 0, or a negative errno: the dictionary's or the first of entry.
 */
int bus_dict_read(sd_bus_message *m, int (*entry)(sd_bus_message *m, const char *key, void *userdata),
                  void *userdata);
