/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/bus-dict.h"

int bus_dict_open_array(sd_bus_message *m, const char *key, const char *signature)
{
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", key);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'v', signature);
        if (r < 0)
                return r;
        return sd_bus_message_open_container(m, 'a', signature + 1);
}

int bus_dict_close_array(sd_bus_message *m)
{
        for (unsigned i = 0; i < 3; i++) {
                int r = sd_bus_message_close_container(m);

                if (r < 0)
                        return r;
        }
        return 0;
}

int bus_dict_enter_array(sd_bus_message *m, const char *signature)
{
        int r;

        r = sd_bus_message_enter_container(m, 'v', signature);
        if (r < 0)
                return r;
        return sd_bus_message_enter_container(m, 'a', signature + 1);
}

int bus_dict_exit_array(sd_bus_message *m)
{
        int r;

        r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

int bus_dict_read(sd_bus_message *m, int (*entry)(sd_bus_message *m, const char *key, void *userdata),
                  void *userdata)
{
        const char *key;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read_basic(m, 's', &key);
                if (r < 0)
                        return r;
                r = entry(m, key, userdata);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}
