/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/worker.h"

static int read_option(sd_bus_message *m, const WorkerOption *options, size_t n)
{
        const char *key;
        int r;

        r = sd_bus_message_read(m, "s", &key);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                if (streq(options[i].key, key))
                        return sd_bus_message_read(m, "v", options[i].type, options[i].target);
        }
        return sd_bus_message_skip(m, "v");
}

int worker_read_options(sd_bus_message *m, const WorkerOption *options, size_t n)
{
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = read_option(m, options, n);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int worker_parse_preallocation(const char *s, Preallocation *ret, sd_bus_error *error)
{
        *ret = preallocation_from_string(s);
        if (*ret != _PREALLOCATION_MAX)
                return 0;
        return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "'%.64s' is no preallocation: off, metadata, falloc and full are", s);
}
