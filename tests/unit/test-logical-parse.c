/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef NDEBUG
#include <assert.h>

#include "backends/logical-report.h"
#include "backends/logical.h"

#define MIB (UINT64_C(1024) * 1024)

/* What lvm wrote of a group with one of each kind: see logical-report.json. */
static char *read_file(const char *path)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        char *text = calloc(1, 65536);

        assert(f && text);
        assert(fread(text, 1, 65535, f) > 0);
        return text;
}

static void test_group(const LogicalGroup *g)
{
        assert(streq(g->name, "tvg") && streq(g->uuid, "2Dx5Ke-0O03-872d-WSUM-1PkP-lZbl-fI8Xjs"));
        assert(g->size == 1660944384 && g->free == 1266679808 && g->extent_size == 4 * MIB);
        assert(g->n_pvs == 4 && streq(g->pvs[1].device, "/dev/vdc") && g->pvs[1].start == MIB);
        assert(logical_group_n_missing(g) == 0);
        assert(g->n_lvs == 10 && !logical_group_find(g, "nothing"));
}

static void test_thick(const LogicalGroup *g)
{
        const LogicalLv *lv = logical_group_find(g, "str");

        assert(lv && !lv->hidden && !lv->pool && !lv->origin && lv->size == 40 * MIB);
        assert(logical_lv_is_active(lv) && !logical_lv_is_open(lv) && !lv->unfinished);
        assert(logical_lv_allocation(lv) == 40 * MIB && lv->time == 1795401821);
        /* As the kernel's table has it, in sectors: 254:16 83968 254:32 2048. */
        assert(lv->n_extents == 2 && streq(lv->extents[0].device, "/dev/vdb"));
        assert(lv->extents[0].start == 83968 * 512 && lv->extents[1].start == 2048 * 512);
        assert(lv->extents[0].end - lv->extents[0].start == 20 * MIB);
        lv = logical_group_find(g, "off");
        assert(lv && !logical_lv_is_active(lv) && !logical_lv_is_open(lv));
        lv = logical_group_find(g, "r1");
        assert(lv && lv->raid && lv->n_extents == 0 && logical_lv_is_active(lv));
}

static void test_thin_and_snapshots(const LogicalGroup *g)
{
        const LogicalLv *lv = logical_group_find(g, "tp");
        char *words;

        assert(lv && lv->hidden && lv->thin_pool && lv->metadata_size == 4 * MIB);
        assert(lv->data_percent == 2000 && lv->metadata_percent == 1123);
        assert(logical_lv_allocation(lv) == 20 * MIB);
        lv = logical_group_find(g, "tv");
        assert(lv && !lv->hidden && !lv->thin_pool && streq(lv->pool, "tp"));
        assert(logical_lv_allocation(lv) == 1024 * MIB / 10000 * 195 + 1024 * MIB % 10000 * 195 / 10000);
        assert(logical_dependents(g, lv, &words) == 0 && streq(words, "'ts', 'tskip'"));
        free(words);
        lv = logical_group_find(g, "ts");
        assert(lv && streq(lv->origin, "tv") && logical_lv_allocation(lv) == 0 && !lv->unfinished);
        assert(logical_dependents(g, lv, &words) == 0 && !words);
        lv = logical_group_find(g, "tskip");
        assert(lv && lv->data_percent == LOGICAL_PERCENT_UNKNOWN && logical_lv_allocation(lv) == 0);
        lv = logical_group_find(g, "snap");
        assert(lv && lv->thick_snapshot && lv->size == 40 * MIB && lv->stored == 8 * MIB);
        assert(logical_lv_allocation(lv) == logical_part_of(8 * MIB, 3774) && streq(lv->origin, "lin"));
}

static void test_row(const LogicalGroup *g)
{
        _cleanup_(pool_def_freep) PoolDef *pool = pool_def_new(POOL_LOGICAL);
        VolumeRow row;

        assert(pool);
        pool->target_path = strdup("/dev/none-of-that-name");
        assert(logical_row(pool, logical_group_find(g, "snap"), false, NULL, &row) == 0);
        assert(streq(row.name, "snap") && row.type == VOLUME_BLOCK && streq(row.format, ""));
        assert(row.capacity == 40 * MIB && row.physical == 8 * MIB && row.mode == MODE_UNSET);
        assert(streq(row.extra->key, "pdDtii-a5jf-pnBa-EzC0-Lppo-jSZX-2VVkLr"));
        assert(streq(row.extra->path, "/dev/none-of-that-name/snap") && !row.extra->problem);
        assert(streq(row.extra->backing_path, "/dev/none-of-that-name/lin"));
        assert(row.btime == INT64_C(1795401855000000000));
        volume_row_done(&row);
        assert(logical_row(pool, logical_group_find(g, "off"), false, NULL, &row) == 0);
        assert(strstr(row.extra->problem, "not active"));
        volume_row_done(&row);
}

#define REPORT(pvs, lvs, segs)                                                                             \
        "{\"report\":[{\"vg\":[{\"vg_name\":\"v\",\"vg_uuid\":\"u\",\"vg_size\":\"80\",\"vg_free\":\"0\"," \
        "\"vg_extent_size\":\"8\"}],\"pv\":[" pvs "],\"lv\":[" lvs "],\"seg\":[" segs "]}]}"

/* A device is gone; a volume is being made; an invalid snapshot is full. */
static void test_trouble(void)
{
        LogicalGroup g = {0};
        const LogicalLv *lv;

        assert(logical_group_parse(
                       REPORT("{\"pv_name\":\"[unknown]\",\"pv_uuid\":\"p\",\"pv_missing\":\"missing\"},"
                              "{\"pv_name\":\"/dev/"
                              "a\",\"pv_uuid\":\"q\",\"pv_missing\":\"\",\"pe_start\":\"4\"}",
                              "{\"lv_name\":\"x\",\"lv_uuid\":\"1\",\"lv_attr\":\"-wi-ao--p-\",\"lv_size\":"
                              "\"16\","
                              "\"lv_layout\":\"linear\",\"lv_role\":\"public\","
                              "\"lv_tags\":\"a,storaged-unfinished\"},"
                              "{\"lv_name\":\"a\",\"lv_uuid\":\"2\",\"lv_attr\":\"swi-I-s---\",\"lv_size\":"
                              "\"8\","
                              "\"lv_role\":\"public,snapshot,thicksnapshot\",\"origin_size\":\"99\","
                              "\"data_percent\":\"100.00\",\"lv_tags\":\"storaged-unfinished-not\"}",
                              "{\"lv_name\":\"x\",\"segtype\":\"linear\",\"seg_size\":\"8\",\"stripes\":"
                              "\"1\","
                              "\"devices\":\"[unknown](1)\"},"
                              "{\"lv_name\":\"x\",\"segtype\":\"linear\",\"seg_size\":\"8\",\"stripes\":"
                              "\"1\","
                              "\"devices\":\"/dev/a(2)\"}"),
                       &g) == 0);
        assert(logical_group_n_missing(&g) == 1 && streq(g.lvs[0].name, "a"));
        lv = logical_group_find(&g, "x");
        assert(lv && lv->unfinished && logical_lv_is_open(lv));
        assert(lv->n_extents == 1 && lv->extents[0].start == 20 && lv->extents[0].end == 28);
        lv = logical_group_find(&g, "a");
        assert(lv && !lv->unfinished && lv->size == 99 && logical_lv_allocation(lv) == 8);
        logical_group_done(&g);
}

/* A row a device, of which one is gone. */
static void test_devices_alone(void)
{
        static const char json[] =
                "{\"report\":[{\"vg\":["
                "{\"vg_name\":\"v\",\"vg_uuid\":\"u\",\"vg_extent_size\":\"8\",\"pv_name\":\"/dev/a\","
                "\"pv_uuid\":\"p\",\"pv_missing\":\"\"},"
                "{\"vg_name\":\"v\",\"vg_uuid\":\"u\",\"vg_extent_size\":\"8\",\"pv_name\":\"[unknown]\","
                "\"pv_uuid\":\"q\",\"pv_missing\":\"missing\"}]}]}";
        LogicalGroup g = {0};

        assert(logical_group_parse(json, &g) == 0);
        assert(streq(g.name, "v") && g.n_lvs == 0 && g.n_pvs == 2 && streq(g.pvs[0].device, "/dev/a"));
        assert(logical_group_n_missing(&g) == 1);
        logical_group_done(&g);
}

static void test_no_report(void)
{
        LogicalGroup g = {0};

        assert(logical_group_parse("", &g) == -EBADMSG);
        assert(logical_group_parse("{\"report\":{}}", &g) == -EBADMSG);
        assert(logical_group_parse("{\"report\":[]}", &g) == -ENOENT);
        assert(logical_group_parse("{\"report\":[{\"vg\":[{}]}]}", &g) == -EBADMSG);
        assert(logical_group_parse(REPORT("", "{}", ""), &g) == -EBADMSG);
        assert(logical_group_parse(REPORT("", "", "{\"lv_name\":\"x\",\"devices\":\"(((\"}"), &g) == 0);
        logical_group_done(&g);
}

static void test_percent(void)
{
        assert(logical_part_of(UINT64_MAX, 10000) == UINT64_MAX);
        assert(logical_part_of(0, 5000) == 0 && logical_part_of(19999, 5000) == 9999);
}

static void check_name(const char *vg, const char *name, bool fine)
{
        _cleanup_(pool_def_freep) PoolDef *pool = pool_def_new(POOL_LOGICAL);
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        BackendContext ctx = {.pool = pool, .error = &error};

        assert(pool);
        pool->source.name = strdup(vg);
        assert((logical_name_validate(&ctx, name) >= 0) == fine);
        assert(fine || sd_bus_error_has_name(&error, STORAGE_ERROR_INVALID_NAME));
}

static void test_names(void)
{
        char name[129];

        check_name("vg", "a+b.c_d-e", true);
        check_name("vg", ".x", true);
        check_name("vg", "", false);
        check_name("vg", "..", false);
        check_name("vg", "-x", false);
        check_name("vg", "a b", false);
        check_name("vg", "pvmove0", false);
        check_name("vg", "x_tdata", false);
        memset(name, 'a', sizeof name);
        name[124] = 0;
        check_name("vg", name, true);
        check_name("v-g", name, false);
        name[123] = '-';
        check_name("vg", name, false);
}

int main(int argc, char *argv[])
{
        LogicalGroup group = {0};
        _cleanup_free_ char *json = NULL;

        assert(argc == 2 && storage_errors_register() >= 0);
        json = read_file(argv[1]);
        assert(logical_group_parse(json, &group) == 0);
        test_group(&group);
        test_thick(&group);
        test_thin_and_snapshots(&group);
        test_row(&group);
        logical_group_done(&group);
        test_trouble();
        test_devices_alone();
        test_no_report();
        test_percent();
        test_names();
        return 0;
}
