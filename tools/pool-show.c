/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/pool-show.h"

#include "common/size.h"
#include "tools/report.h"
#include "tools/show.h"

const Option pool_show_options[] = {
        {"xml", NULL, OPTION_FLAG, NULL, "print libvirt's XML"},
        {"inactive", NULL, OPTION_FLAG, "inactive", "with --xml: what the next start will use"},
        {0},
};

/* Rows of an array, one a line, the first one behind the label. */
static int print_rows(const char *label, json_object *rows,
                      void (*print)(json_object *row, char *text, size_t size))
{
        size_t n = json_object_array_length(rows);

        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *clean = NULL;
                char text[512];
                int r;

                print(json_object_array_get_idx(rows, i), text, sizeof(text));
                r = utf8_make_valid(text, strlen(text), &clean);
                if (r < 0)
                        return r;
                (void) printf("%-16s %s\n", i == 0 ? label : "", clean);
        }
        if (n == 0)
                (void) printf("%-16s -\n", label);
        return 0;
}

static const char *cell(json_object *row, size_t i)
{
        return strempty(json_object_get_string(json_object_array_get_idx(row, i)));
}

static const char *cell_size(json_object *row, size_t i, char text[static SIZE_BUFSIZE])
{
        return size_format(text, json_object_get_uint64(json_object_array_get_idx(row, i)));
}

static void thin_pool_text(json_object *row, char *text, size_t size)
{
        char capacity[SIZE_BUFSIZE], used[SIZE_BUFSIZE], metadata[SIZE_BUFSIZE], metadata_used[SIZE_BUFSIZE];

        (void) snprintf(text, size, "%s: %s of %s used; of its metadata %s of %s", cell(row, 0),
                        cell_size(row, 2, used), cell_size(row, 1, capacity),
                        cell_size(row, 4, metadata_used), cell_size(row, 3, metadata));
}

static void free_extent_text(json_object *row, char *text, size_t size)
{
        uint64_t start = json_object_get_uint64(json_object_array_get_idx(row, 0)),
                 end = json_object_get_uint64(json_object_array_get_idx(row, 1));
        char length[SIZE_BUFSIZE], from[SIZE_BUFSIZE];

        (void) snprintf(text, size, "%s from %s on", size_format(length, end - start),
                        size_format(from, start));
}

static void device_text(json_object *row, char *text, size_t size)
{
        (void) snprintf(text, size, "%s %s", *cell(row, 0) ? cell(row, 0) : "?", cell(row, 1));
}

/* What only some pools have: an interface, its plain properties, and one that is a list. */
static const struct PoolPart {
        const char *name; /* of the interface behind "Pool." */
        ShowProperty properties[4];
        size_t n_properties;
        const char *rows, *label;
        void (*print)(json_object *row, char *text, size_t size);
} parts[] = {
        {"Logical",
         {{"VolumeGroup", SHOW_TEXT}, {"ExtentSize", SHOW_SIZE}},
         2,
         "ThinPools",
         "Thin pools:",
         thin_pool_text},
        {"Disk", {{0}}, 0, "FreeExtents", "Free extents:", free_extent_text},
        {"Raid",
         {{"Level", SHOW_TEXT},
          {"SyncAction", SHOW_TEXT},
          {"SyncProgress", SHOW_PERCENT},
          {"Degraded", SHOW_TEXT}},
         4,
         "Devices",
         "Devices:",
         device_text},
};

static bool has_part(json_object *pool, const char *part)
{
        const char *type = json_string(pool, "Type");
        json_object *definition, *raid;

        if (streq(part, "Raid"))
                return json_object_object_get_ex(pool, "Definition", &definition) &&
                       json_object_object_get_ex(definition, "raid", &raid);
        return streq(type, streq(part, "Logical") ? "logical" : "disk");
}

/* Adds each part that the pool has as a member. One that the definition has only from the next start on is
 * no error. */
static int read_parts(Context *c, const char *path, json_object *pool)
{
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
                json_object *part;
                char interface[64];
                int r;

                if (!has_part(pool, parts[i].name))
                        continue;
                (void) snprintf(interface, sizeof(interface), POOL_INTERFACE ".%s", parts[i].name);
                if (read_object(c, path, interface, &part, &error) < 0)
                        continue;
                json_object_object_del(part, "ObjectPath");
                r = json_set(pool, parts[i].name, part);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int print_parts(json_object *pool)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(parts); i++) {
                json_object *part, *rows;

                if (!json_object_object_get_ex(pool, parts[i].name, &part))
                        continue;
                r = show_properties(part, parts[i].properties, parts[i].n_properties);
                if (r >= 0 && json_object_object_get_ex(part, parts[i].rows, &rows))
                        r = print_rows(parts[i].label, rows, parts[i].print);
        }
        return r;
}

static int print_pool(const Context *c, json_object *pool)
{
        static const ShowProperty properties[] = {
                {"Name", SHOW_TEXT},        {"UUID", SHOW_TEXT},          {"Type", SHOW_TEXT},
                {"State", SHOW_TEXT},       {"Health", SHOW_TEXT},        {"Problems", SHOW_PROBLEMS},
                {"TargetPath", SHOW_TEXT},  {"SourceFormat", SHOW_TEXT},  {"Autostart", SHOW_BOOL},
                {"Persistent", SHOW_BOOL},  {"UpdatePending", SHOW_BOOL}, {"Capacity", SHOW_SIZE},
                {"Allocation", SHOW_SIZE},  {"Available", SHOW_SIZE},     {"VolumeCount", SHOW_TEXT},
                {"LastRefresh", SHOW_TIME}, {"Operations", SHOW_TEXT},    {"VolumeFormats", SHOW_TEXT},
                {"ObjectPath", SHOW_TEXT},
        };
        int r;

        if (c->json)
                return json_print(pool, true);
        r = show_properties(pool, properties, ELEMENTSOF(properties));
        if (r >= 0)
                r = print_parts(pool);
        return r < 0 ? r : fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}

int pool_show(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *pool = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        if (args_has(a, "xml") && c->json)
                return usage_error("--xml and --json exclude each other");
        r = find_pool(c, a->operands[0], &path, &error);
        if (r >= 0 && args_has(a, "xml"))
                r = print_text(c, path, POOL_INTERFACE, "GetXML", a, pool_show_options, &error);
        else if (r >= 0) {
                r = read_object(c, path, POOL_INTERFACE, &pool, &error);
                if (r >= 0)
                        r = read_parts(c, path, pool);
                if (r >= 0)
                        r = print_pool(c, pool);
        }
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}
