/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/volume-tree.h"

#include <langinfo.h>

#include "tools/backing-graph.h"
#include "tools/call.h"
#include "tools/report.h"
#include "tools/table.h"

typedef struct Drawing {
        Table *table;
        const char *pool; /* whose volumes need not say so */
        const char *branch, *last_branch, *stem, *last_stem;
} Drawing;

static int label_of(const Drawing *d, json_object *node, const char *prefix, const char *branch, char **ret)
{
        const char *path = json_string(node, "Path"), *pool = json_string(node, "Pool");
        bool elsewhere = !*path && !streq(pool, d->pool);

        return asprintf(ret, "%s%s%s%s%s%s", prefix, branch, elsewhere ? pool : "", elsewhere ? "/" : "",
                        *path ? path : json_string(node, "Name"),
                        json_truth(node, "Cycle") ? " (again: a cycle)" : "") < 0
                       ? -ENOMEM
                       : 0;
}

static int add_row(Drawing *d, json_object *node, const char *label)
{
        bool foreign = *json_string(node, "Path"), empty = foreign || json_truth(node, "Cycle");
        int r;

        r = table_add(d->table, label);
        if (r >= 0)
                r = table_add(d->table, json_string(node, "Format"));
        if (r >= 0)
                r = empty ? table_add(d->table, "")
                          : table_add_size(d->table, json_number(node, "Capacity"));
        if (r >= 0)
                r = empty ? table_add(d->table, "")
                          : table_add_size(d->table, json_number(node, "Allocation"));
        return r < 0 ? r
                     : table_add(d->table,
                                 foreign ? "no volume of an active pool" : json_string(node, "Problem"));
}

static int draw(Drawing *d, json_object *nodes, const char *prefix)
{
        size_t n = json_object_array_length(nodes);
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                json_object *node = json_object_array_get_idx(nodes, i), *overlays;
                _cleanup_free_ char *label = NULL, *below = NULL;
                bool last = i + 1 == n;

                r = label_of(d, node, prefix, last ? d->last_branch : d->branch, &label);
                if (r >= 0)
                        r = add_row(d, node, label);
                if (r < 0 || !json_object_object_get_ex(node, "Overlays", &overlays))
                        continue;
                if (asprintf(&below, "%s%s", prefix, last ? d->last_stem : d->stem) < 0)
                        return -ENOMEM;
                r = draw(d, overlays, below);
        }
        return r;
}

static int print_graph(const Context *c, json_object *graph)
{
        static const char *const columns[] = {"NAME", "FORMAT", ">CAPACITY", ">ALLOCATION", "PROBLEM"};
        _cleanup_(table_freep) Table *t = table_new(columns, ELEMENTSOF(columns));
        Drawing d = {.table = t, .branch = "|- ", .last_branch = "`- ", .stem = "|  ", .last_stem = "   "};
        int r = t ? 0 : -ENOMEM;

        if (streq(nl_langinfo(CODESET), "UTF-8")) {
                d.branch = "├─ ";
                d.last_branch = "└─ ";
                d.stem = "│  ";
        }
        for (size_t i = 0; r >= 0 && i < json_object_array_length(graph); i++) {
                json_object *pool = json_object_array_get_idx(graph, i), *volumes;

                d.pool = json_string(pool, "Pool");
                r = table_add(t, d.pool);
                for (size_t k = 1; r >= 0 && k < ELEMENTSOF(columns); k++)
                        r = table_add(t, "");
                if (r >= 0 && json_object_object_get_ex(pool, "Volumes", &volumes))
                        r = draw(&d, volumes, "");
        }
        return r < 0 ? r : table_print(t, stdout, c->legend);
}

/* The names by object path of all pools, and of those that are to be drawn: path, or NULL for the active
 * ones. */
static int choose_pools(json_object *pools, const char *path, json_object *all, json_object *drawn)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < json_object_array_length(pools); i++) {
                json_object *pool = json_object_array_get_idx(pools, i);
                const char *own = json_string(pool, "ObjectPath"), *name = json_string(pool, "Name");

                r = json_set_string(all, own, name);
                if (r >= 0 && (path ? streq(own, path) : streq(json_string(pool, "State"), "active")))
                        r = json_set_string(drawn, own, name);
        }
        return r;
}

static int read_graph(Context *c, const Args *a, json_object **ret, sd_bus_error *error)
{
        _cleanup_json_ json_object *pools = NULL, *all = json_object_new_object(),
                                   *drawn = json_object_new_object();
        _cleanup_free_ char *path = NULL;
        int r = all && drawn ? 0 : -ENOMEM;

        if (r >= 0 && a->n_operands > 0)
                r = find_pool(c, a->operands[0], &path, error);
        if (r >= 0)
                r = read_pools(c, a, NULL, &pools, error);
        if (r >= 0)
                r = choose_pools(pools, path, all, drawn);
        return r < 0 ? r : backing_graph(c, drawn, all, ret, error);
}

int volume_tree(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *graph = NULL;
        int r;

        r = read_graph(c, a, &graph, &error);
        if (r >= 0)
                r = c->json ? json_print(graph, true) : print_graph(c, graph);
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}
