/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/volume-users.h"

#include "tools/report.h"
#include "tools/show.h"
#include "tools/table.h"
#include "tools/volume-call.h"

static int read_users(Context *c, const Args *a, const char *path, json_object **ret, sd_bus_error *error)
{
        static const char *const names[] = {"Command", "Process"};
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL, *reply = NULL;
        int r;

        r = call_new(c, path, VOLUME_INTERFACE, "ListUsers", error, &m);
        if (r >= 0)
                r = call_options(c, m, a, NULL, false);
        if (r >= 0)
                r = sd_bus_call(c->bus, m, CALL_CHANGE_TIMEOUT_USEC, error, &reply);
        return r < 0 ? r : json_read_rows(reply, "sua{sv}", names, ELEMENTSOF(names), ret);
}

static int print_users(const Context *c, json_object *users)
{
        static const char *const columns[] = {"COMMAND", ">PROCESS", ">UID",   "HOW",
                                              "MODE",    "PART",     "PROGRAM"},
                                 *const keys[] = {"Command", "Process", "uid", "how", "mode", "part", "exe"};
        _cleanup_(table_freep) Table *t = table_new(columns, ELEMENTSOF(columns));
        int r = t ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < json_object_array_length(users); i++) {
                json_object *user = json_object_array_get_idx(users, i);

                for (size_t k = 0; r >= 0 && k < ELEMENTSOF(keys); k++) {
                        bool kernel = k == 1 && json_number(user, keys[k]) == 0;
                        _cleanup_free_ char *text = show_value(user, keys[k], SHOW_TEXT);

                        r = text ? table_add(t, kernel ? "" : text) : -ENOMEM;
                }
        }
        return r < 0 ? r : table_print(t, stdout, c->legend);
}

int volume_users(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *users = NULL;
        _cleanup_free_ char *path = NULL;
        size_t used;
        int r;

        r = check_volume_operands(a, 0, NULL);
        if (r != STATUS_OK)
                return r;
        r = find_volume_operands(c, a, &path, &used, &error);
        if (r >= 0)
                r = read_users(c, a, path, &users, &error);
        if (r >= 0)
                r = c->json ? json_print(users, true) : print_users(c, users);
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}
