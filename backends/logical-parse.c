/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The part of logical-report.h that reads what lvm writes. Field names are those of lvs(8), pvs(8), vgs(8).
 */

#include <inttypes.h>
#include <json-c/json.h>

#include "backends/logical-report.h"

/* More than LVM's own metadata has room for: beyond, it is not a report. */
#define ROWS_MAX 100000U
#define EXTENTS_MAX 4096U

#define VG_FIELDS "vg_name,vg_uuid,vg_size,vg_free,vg_extent_size"
#define PV_FIELDS "pv_name,pv_uuid,pv_missing,pe_start"
#define LV_FIELDS                                                                                       \
        "lv_name,lv_uuid,lv_attr,lv_size,lv_layout,lv_role,lv_tags,lv_time,origin,origin_size,pool_lv," \
        "data_percent,metadata_percent,lv_metadata_size"
#define SEG_FIELDS "lv_name,segtype,seg_size,stripes,devices"

void logical_report_argv(const char *vg, const char *argv[static LOGICAL_REPORT_ARGS_MAX])
{
        const char *const args[] = {
                "lvm",
                "fullreport",
                "--config",
                "report{time_format=\"%s\"} " LOGICAL_NO_BACKUP,
                "--reportformat",
                "json",
                "--units",
                "b",
                "--nosuffix",
                "--configreport",
                "vg",
                "-o",
                VG_FIELDS,
                "--configreport",
                "pv",
                "-o",
                PV_FIELDS,
                "--configreport",
                "lv",
                "-o",
                LV_FIELDS,
                "--configreport",
                "pvseg",
                "-o",
                "pvseg_start",
                "--configreport",
                "seg",
                "-o",
                SEG_FIELDS,
                vg,
                NULL,
        };
        _Static_assert(ELEMENTSOF(args) <= LOGICAL_REPORT_ARGS_MAX, "too few");

        memcpy(argv, args, sizeof args);
}

/* A row a device, each with the group's fields. */
void logical_devices_argv(const char *vg, const char *argv[static LOGICAL_REPORT_ARGS_MAX])
{
        const char *const args[] = {
                "lvm",
                "vgs",
                "--config",
                LOGICAL_NO_BACKUP,
                "--reportformat",
                "json",
                "--units",
                "b",
                "--nosuffix",
                "-o",
                VG_FIELDS "," PV_FIELDS,
                vg,
                NULL,
        };
        _Static_assert(ELEMENTSOF(args) <= LOGICAL_REPORT_ARGS_MAX, "too few");

        memcpy(argv, args, sizeof args);
}

void logical_lv_done(LogicalLv *lv)
{
        for (size_t i = 0; i < lv->n_extents; i++)
                free(lv->extents[i].device);
        free(lv->extents);
        free(lv->name);
        free(lv->uuid);
        free(lv->origin);
        free(lv->pool);
}

void logical_group_done(LogicalGroup *group)
{
        for (size_t i = 0; i < group->n_pvs; i++) {
                free(group->pvs[i].device);
                free(group->pvs[i].uuid);
                free(group->pvs[i].was);
        }
        for (size_t i = 0; i < group->n_lvs; i++)
                logical_lv_done(&group->lvs[i]);
        free(group->pvs);
        free(group->lvs);
        free(group->name);
        free(group->uuid);
        *group = (LogicalGroup){0};
}

static const char *text(json_object *row, const char *field)
{
        json_object *value;

        return json_object_object_get_ex(row, field, &value) ? strempty(json_object_get_string(value)) : "";
}

static uint64_t number(json_object *row, const char *field)
{
        const char *s = text(row, field);

        return *s >= '0' && *s <= '9' ? strtoull(s, NULL, 10) : 0;
}

/* "37.74": whatever the locale, lvm is run with that of C. */
static uint32_t percent(json_object *row, const char *field)
{
        const char *s = text(row, field);
        unsigned whole, part = 0;
        int n = sscanf(s, "%3u.%2u", &whole, &part);

        if (n < 1 || whole > 100)
                return LOGICAL_PERCENT_UNKNOWN;
        return whole == 100 ? 10000 : whole * 100 + part;
}

/* Whether word is in a list with commas. */
static bool has_word(const char *list, const char *word)
{
        size_t n = strlen(word);

        for (const char *p = list; p; p = strchr(p, ',')) {
                p += *p == ',';
                if (strncmp(p, word, n) == 0 && (p[n] == 0 || p[n] == ','))
                        return true;
        }
        return false;
}

static int set_text(char **field, json_object *row, const char *name)
{
        const char *s = text(row, name);

        *field = isempty(s) ? NULL : strdup(s);
        return *field || isempty(s) ? 0 : -ENOMEM;
}

static int parse_pv(json_object *row, LogicalPv *ret)
{
        int r;

        ret->start = number(row, "pe_start");
        r = set_text(&ret->uuid, row, "pv_uuid");
        /* A missing one is called "[unknown]". */
        if (r >= 0 && isempty(text(row, "pv_missing")) && text(row, "pv_name")[0] == '/')
                r = set_text(&ret->device, row, "pv_name");
        return r;
}

static int parse_lv(json_object *row, LogicalLv *ret)
{
        const char *name = text(row, "lv_name"), *layout = text(row, "lv_layout"),
                   *role = text(row, "lv_role");
        int r;

        /* Hidden ones are in brackets, where the settings of LVM do not say otherwise. */
        ret->hidden = *name == '[' || has_word(role, "private");
        ret->thin_pool = has_word(layout, "thin") && has_word(layout, "pool");
        ret->thick_snapshot = has_word(role, "thicksnapshot");
        ret->raid = has_word(layout, "raid") || has_word(layout, "mirror");
        ret->unfinished = has_word(text(row, "lv_tags"), LOGICAL_UNFINISHED_TAG);
        ret->stored = ret->size = number(row, "lv_size");
        if (ret->thick_snapshot)
                ret->size = number(row, "origin_size");
        ret->metadata_size = number(row, "lv_metadata_size");
        ret->data_percent = percent(row, "data_percent");
        ret->metadata_percent = percent(row, "metadata_percent");
        ret->time = (int64_t) number(row, "lv_time");
        strncpy(ret->attr, text(row, "lv_attr"), sizeof(ret->attr) - 1);
        r = set_text(&ret->name, row, "lv_name");
        if (r >= 0)
                r = set_text(&ret->uuid, row, "lv_uuid");
        if (r >= 0)
                r = set_text(&ret->origin, row, "origin");
        if (r >= 0)
                r = set_text(&ret->pool, row, "pool_lv");
        return r < 0 ? r : ret->name && ret->uuid ? 0 : -EBADMSG;
}

static const LogicalPv *find_pv(const LogicalGroup *group, const char *device, size_t n)
{
        for (size_t i = 0; i < group->n_pvs; i++) {
                const char *d = group->pvs[i].device;

                if (d && strncmp(d, device, n) == 0 && d[n] == 0)
                        return &group->pvs[i];
        }
        return NULL;
}

int logical_lv_add_extent(LogicalLv *lv, const char *device, size_t n, uint64_t start, uint64_t length)
{
        VolumeExtent *extents;

        if (lv->n_extents >= EXTENTS_MAX)
                return 0;
        extents = reallocarray(lv->extents, lv->n_extents + 1, sizeof(VolumeExtent));
        if (!extents)
                return -ENOMEM;
        lv->extents = extents;
        extents[lv->n_extents] =
                (VolumeExtent){.device = strndup(device, n), .start = start, .end = start + length};
        return extents[lv->n_extents].device ? (lv->n_extents++, 0) : -ENOMEM;
}

/*
 * "/dev/sda(0),/dev/sdb(512)": where the stripes begin, counted in extents. Stripes on other logical volumes
 * (of arrays) and on missing devices are not places on a device of the pool.
 */
static int parse_segment(const LogicalGroup *group, json_object *row)
{
        LogicalLv *lv = (LogicalLv *) logical_group_find(group, text(row, "lv_name"));
        const char *devices = text(row, "devices"), *type = text(row, "segtype"), *open, *end;
        uint64_t stripes = number(row, "stripes"), length;
        int r;

        if (!lv || (!streq(type, "linear") && !streq(type, "striped")))
                return 0;
        length = number(row, "seg_size") / (stripes > 0 ? stripes : 1);
        for (const char *p = devices; *p; p = *end == ',' ? end + 1 : end) {
                const LogicalPv *pv;

                open = strchr(p, '(');
                end = open ? strchr(open, ')') : NULL;
                if (!end)
                        break;
                end++;
                pv = find_pv(group, p, (size_t) (open - p));
                if (!pv)
                        continue;
                r = logical_lv_add_extent(lv, p, (size_t) (open - p),
                                          pv->start + strtoull(open + 1, NULL, 10) * group->extent_size,
                                          length);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_group(json_object *row, LogicalGroup *ret)
{
        int r;

        ret->size = number(row, "vg_size");
        ret->free = number(row, "vg_free");
        ret->extent_size = number(row, "vg_extent_size");
        r = set_text(&ret->name, row, "vg_name");
        if (r >= 0)
                r = set_text(&ret->uuid, row, "vg_uuid");
        return r < 0 ? r : ret->name && ret->uuid && ret->extent_size > 0 ? 0 : -EBADMSG;
}

static int compare_lvs(const void *a, const void *b)
{
        return strcmp(((const LogicalLv *) a)->name, ((const LogicalLv *) b)->name);
}

static int compare_name(const void *name, const void *lv)
{
        return strcmp(name, ((const LogicalLv *) lv)->name);
}

const LogicalLv *logical_group_find(const LogicalGroup *group, const char *name)
{
        if (group->n_lvs == 0)
                return NULL;
        return bsearch(name, group->lvs, group->n_lvs, sizeof(LogicalLv), compare_name);
}

/* The rows of one of the reports; NULL: it has none. */
static json_object *rows_of(json_object *report, const char *name, size_t *ret_n)
{
        json_object *rows = NULL;

        *ret_n = 0;
        if (json_object_object_get_ex(report, name, &rows) && json_object_is_type(rows, json_type_array))
                *ret_n = json_object_array_length(rows);
        return rows;
}

/* Of devices alone there is no report of their own: each has a row with the group's fields. */
static json_object *pv_rows(json_object *report, size_t *ret_n)
{
        json_object *rows = rows_of(report, "pv", ret_n);

        if (*ret_n > 0)
                return rows;
        rows = rows_of(report, "vg", ret_n);
        if (!json_object_object_get_ex(json_object_array_get_idx(rows, 0), "pv_uuid", NULL))
                *ret_n = 0;
        return rows;
}

static int parse_pvs(json_object *report, LogicalGroup *ret)
{
        size_t n;
        json_object *rows = pv_rows(report, &n);

        if (n == 0)
                return 0;
        ret->pvs = n <= ROWS_MAX ? calloc(n, sizeof(LogicalPv)) : NULL;
        if (!ret->pvs)
                return -ENOMEM;
        while (ret->n_pvs < n) {
                size_t i = ret->n_pvs++;
                int r = parse_pv(json_object_array_get_idx(rows, i), &ret->pvs[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_lvs(json_object *report, LogicalGroup *ret)
{
        size_t n;
        json_object *rows = rows_of(report, "lv", &n);

        if (n == 0)
                return 0;
        ret->lvs = n <= ROWS_MAX ? calloc(n, sizeof(LogicalLv)) : NULL;
        if (!ret->lvs)
                return -ENOMEM;
        while (ret->n_lvs < n) {
                size_t i = ret->n_lvs++;
                int r = parse_lv(json_object_array_get_idx(rows, i), &ret->lvs[i]);

                if (r < 0)
                        return r;
        }
        qsort(ret->lvs, ret->n_lvs, sizeof(LogicalLv), compare_lvs);
        return 0;
}

static int parse_segments(json_object *report, LogicalGroup *group)
{
        size_t n;
        json_object *rows = rows_of(report, "seg", &n);
        int r = 0;

        for (size_t i = 0; i < n && r >= 0; i++)
                r = parse_segment(group, json_object_array_get_idx(rows, i));
        return r;
}

static int parse_report(json_object *root, LogicalGroup *ret)
{
        json_object *reports = NULL, *report, *vgs;
        size_t n;
        int r;

        if (!json_object_object_get_ex(root, "report", &reports) ||
            !json_object_is_type(reports, json_type_array))
                return -EBADMSG;
        report = json_object_array_length(reports) > 0 ? json_object_array_get_idx(reports, 0) : NULL;
        vgs = rows_of(report, "vg", &n);
        if (n == 0)
                return -ENOENT;
        r = parse_group(json_object_array_get_idx(vgs, 0), ret);
        if (r >= 0)
                r = parse_pvs(report, ret);
        if (r >= 0)
                r = parse_lvs(report, ret);
        return r < 0 ? r : parse_segments(report, ret);
}

int logical_group_parse(const char *json, LogicalGroup *ret)
{
        json_object *root = json_tokener_parse(json);
        LogicalGroup group = {0};
        int r;

        r = root ? parse_report(root, &group) : -EBADMSG;
        json_object_put(root);
        if (r < 0) {
                logical_group_done(&group);
                return r;
        }
        *ret = group;
        return 0;
}
