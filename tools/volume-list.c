/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/volume-list.h"
#include "tools/call.h"
#include "tools/report.h"
#include "tools/show.h"
#include "tools/table.h"

const Option volume_list_options[] = {
        {"details", NULL, OPTION_FLAG, NULL, "show path and time too"},
        {"prefix", "TEXT", OPTION_STRING, "prefix", "only volumes whose name begins so"},
        {"format", "FORMAT", OPTION_STRING, "format", "only volumes of this format"},
        {"names", NULL, OPTION_FLAG, NULL, "print names and nothing else"},
        {0},
};

/* What a page is made into. */
typedef struct Listing {
        bool names, details;
        Table *table;
        json_object *array; /* with --json, instead of the table */
} Listing;

static int add_to_table(Listing *l, json_object *volume)
{
        _cleanup_free_ char *modified = NULL;
        int r;

        r = table_add(l->table, json_string(volume, "Name"));
        if (r >= 0)
                r = table_add(l->table, json_string(volume, "Format"));
        if (r >= 0)
                r = table_add_size(l->table, json_number(volume, "Capacity"));
        if (r >= 0)
                r = table_add_size(l->table, json_number(volume, "Allocation"));
        if (r < 0 || !l->details)
                return r;
        modified = show_value(volume, "Modified", SHOW_TIME);
        r = modified ? table_add(l->table, modified) : -ENOMEM;
        return r < 0 ? r : table_add(l->table, json_string(volume, "Key"));
}

/* Takes the volume over. */
static int add(Listing *l, json_object *volume)
{
        _cleanup_json_ json_object *owned = volume;

        if (l->names) {
                (void) puts(json_string(volume, "Name"));
                return 0;
        }
        if (!l->array)
                return add_to_table(l, volume);
        if (json_object_array_add(l->array, volume) < 0)
                return -ENOMEM;
        (void) TAKE_PTR(owned);
        return 0;
}

static int read_rows(sd_bus_message *reply, Listing *l)
{
        static const char *const names[] = {"ObjectPath", "Name",       "Key",     "Format",
                                            "Capacity",   "Allocation", "Modified"};
        json_object *volume;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(osssttta{sv})");
        if (r < 0)
                return r;
        while ((r = json_read_struct(reply, "osssttta{sv}", names, ELEMENTSOF(names), &volume)) == 0) {
                r = add(l, volume);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(reply);
}

/* One page after *after, which becomes what the next one begins after, NULL at the end. */
static int read_page(Context *c, const char *pool, const Args *a, char **after, Listing *l,
                     sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL, *reply = NULL;
        const char *next;
        int r;

        r = sd_bus_message_new_method_call(c->bus, &m, STORAGE_BUS_NAME, pool, POOL_INTERFACE,
                                           "ListVolumes");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = args_append(a, volume_list_options, m);
        if (r >= 0 && *after)
                r = sd_bus_message_append(m, "{sv}", "after", "s", *after);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_call(c->bus, m, 0, error, &reply);
        if (r >= 0)
                r = read_rows(reply, l);
        if (r >= 0)
                r = sd_bus_message_read(reply, "s", &next);
        return r < 0 ? r : free_and_strdup(after, *next ? next : NULL);
}

static int read_pages(Context *c, const Args *a, Listing *l, sd_bus_error *error)
{
        _cleanup_free_ char *pool = NULL, *after = NULL;
        int r;

        r = find_pool(c, a->operands[0], &pool, error);
        if (r < 0)
                return r;
        do
                r = read_page(c, pool, a, &after, l, error);
        while (r >= 0 && after);
        return r;
}

int volume_list(Context *c, const Args *a)
{
        static const char *const columns[] = {"NAME",        "FORMAT",   ">CAPACITY",
                                              ">ALLOCATION", "MODIFIED", "PATH"};
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *array = c->json ? json_object_new_array() : NULL;
        bool details = args_has(a, "details");
        _cleanup_(table_freep) Table *table = table_new(columns, details ? 6 : 4);
        Listing l = {.names = args_has(a, "names"), .details = details, .table = table, .array = array};
        int r;

        if (!table || (c->json && !array))
                return report(c, NULL, -ENOMEM);
        r = read_pages(c, a, &l, &error);
        if (r < 0)
                return report(c, &error, r);
        if (l.names)
                r = fflush(stdout) != 0 ? -EIO : 0;
        else
                r = array ? json_print(array, true) : table_print(table, stdout, c->legend);
        return r < 0 ? report(c, NULL, r) : STATUS_OK;
}
