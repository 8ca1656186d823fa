/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef NDEBUG
#include <assert.h>

#include "bus-message.h"
#include "common/volume-row.h"

static VolumeExtra *full_extra(void)
{
        VolumeExtra *e = volume_extra_new();

        assert(e);
        e->key = strdup("key");
        e->path = strdup("/path");
        e->backing_path = strdup("/base");
        e->backing_format = strdup("raw");
        e->backing_remote = true;
        e->backing_missing = true;
        e->encryption = ENCRYPTION_LUKS;
        e->cipher_name = strdup("aes");
        e->cipher_mode = strdup("xts");
        e->cipher_hash = strdup("sha256");
        e->cipher_size = 256;
        e->compat = strdup("1.1");
        e->lazy_refcounts = e->extended_l2 = true;
        e->data_file = strdup("/data");
        e->cluster_size = 65536;
        e->header_size = 2068480;
        e->label = strdup("system_u:object_r:virt_image_t:s0");
        e->problem = strdup("something");
        e->snapshots = calloc(2, sizeof(VolumeSnapshot));
        e->n_snapshots = 2;
        e->snapshots[0] = (VolumeSnapshot){strdup("one"), strdup("1"), 0, 17};
        e->snapshots[1] = (VolumeSnapshot){strdup("two"), strdup("2"), 4096, -18};
        e->extents = calloc(2, sizeof(VolumeExtent));
        e->n_extents = 2;
        assert(e->extents);
        assert(volume_extra_add_need(e, "/base", 1, UINT64_MAX) >= 0);
        assert(volume_extra_add_need(e, "/data", 2, 3) >= 0);
        e->extents[0] = (VolumeExtent){strdup("/dev/vdb"), 1048576, 2097152};
        e->extents[1] = (VolumeExtent){strdup("/dev/vdc"), 0, UINT64_MAX};
        return e;
}

static VolumeRow full_row(void)
{
        return (VolumeRow){
                .name = strdup("disk"),
                .type = VOLUME_BLOCK,
                .format = volume_format_intern("qcow2"),
                .format_probed = true,
                .in_use = true,
                .capacity = UINT64_MAX,
                .allocation = 2,
                .physical = 3,
                .atime = -1,
                .btime = 0,
                .ctime = INT64_MAX,
                .mtime = INT64_MIN,
                .mode = 0640,
                .owner = UINT32_MAX - 1,
                .group = 7,
                .dev = UINT64_MAX,
                .ino = 12,
                .extra = full_extra(),
        };
}

static void test_wire(void)
{
        _cleanup_bus_close_ sd_bus *bus = NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = unsent_message(&bus);
        VolumeRow full = full_row(), plain = {.name = strdup("b"), .format = ""}, read = {0};

        assert(sd_bus_message_open_container(m, 'a', VOLUME_ROW_SIGNATURE) >= 0);
        assert(volume_row_append(&full, m) >= 0 && volume_row_append(&plain, m) >= 0);
        assert(sd_bus_message_close_container(m) >= 0);
        seal_message(m);
        assert(sd_bus_message_enter_container(m, 'a', VOLUME_ROW_SIGNATURE) > 0);
        assert(volume_row_read(m, &read) == 1);
        assert(volume_row_equal(&full, &read) && read.format == full.format);
        volume_row_done(&read);
        assert(volume_row_read(m, &read) == 1);
        assert(volume_row_equal(&plain, &read) && !read.extra);
        volume_row_done(&read);
        assert(volume_row_read(m, &read) == 0);
        volume_row_done(&full);
        volume_row_done(&plain);
}

/* A row that cannot be one, and a key of a newer peer. */
static void test_wire_nonsense(void)
{
        _cleanup_bus_close_ sd_bus *bus = NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = unsent_message(&bus);
        VolumeRow read = {0};

        assert(sd_bus_message_append(m, VOLUME_ROW_SIGNATURE, "a", 0, "raw", 0, 0, UINT64_C(1), UINT64_C(1),
                                     UINT64_C(1), INT64_C(1), INT64_C(1), INT64_C(1), INT64_C(1), 0U, 0U, 0U,
                                     UINT64_C(0), UINT64_C(0), 2, "new", "(ut)", 1U, UINT64_C(2), "compat", "s", "1.1") >= 0);
        assert(sd_bus_message_append(m, VOLUME_ROW_SIGNATURE, "a", _VOLUME_TYPE_MAX, "raw", 0, 0,
                                     UINT64_C(1), UINT64_C(1), UINT64_C(1), INT64_C(1), INT64_C(1),
                                     INT64_C(1), INT64_C(1), 0U, 0U, 0U, UINT64_C(0), UINT64_C(0), 0) >= 0);
        seal_message(m);
        assert(volume_row_read(m, &read) == 1);
        assert(streq(read.extra->compat, "1.1"));
        volume_row_done(&read);
        assert(volume_row_read(m, &read) < 0);
}

static void test_equal(void)
{
        VolumeRow a = full_row(), b = full_row();
        VolumeExtra *copy;

        assert(volume_row_equal(&a, &b));
        b.extra->snapshots[1].time++;
        assert(!volume_row_equal(&a, &b));
        b.extra->snapshots[1].time--;
        b.extra->extents[1].end--;
        assert(!volume_row_equal(&a, &b));
        b.extra->extents[1].end++;
        b.extra->n_extents--;
        assert(!volume_row_equal(&a, &b));
        b.extra->n_extents++;
        free(b.extra->problem);
        b.extra->problem = NULL;
        assert(!volume_row_equal(&a, &b));
        assert(volume_extra_copy(a.extra, &copy) == 0);
        volume_extra_free(b.extra);
        b.extra = copy;
        assert(volume_row_equal(&a, &b));
        b.mtime++;
        assert(!volume_row_equal(&a, &b));
        volume_row_done(&a);
        volume_row_done(&b);
}

static void test_to_def(void)
{
        VolumeRow row = full_row(),
                  plain = {.name = strdup("b"), .format = volume_format_intern("raw"), .mode = 0600};
        VolumeDef *def;

        assert(volume_row_to_def(&row, "/pool/disk", &def) == 0);
        assert(streq(def->name, "disk") && streq(def->key, "key") && streq(def->target_path, "/pool/disk"));
        assert(streq(def->format, "qcow2") && def->type == VOLUME_BLOCK && def->cluster_size == 65536);
        assert(streq(def->backing_path, "/base") && streq(def->backing_format, "raw"));
        assert(def->lazy_refcounts == TRISTATE_YES && def->encryption.format == ENCRYPTION_LUKS);
        assert(def->permissions.mode == 0640 && def->times.set && def->times.mtime == INT64_MIN);
        assert(def->n_extents == 2 && streq(def->extents[1].device, "/dev/vdc"));
        assert(def->extents[0].start == 1048576 && def->extents[0].end == 2097152);
        volume_def_free(def);
        assert(volume_row_to_def(&plain, "/pool/b", &def) == 0);
        assert(streq(def->key, "/pool/b") && !def->backing_path && !def->times.set);
        assert(def->lazy_refcounts == TRISTATE_UNSET);
        volume_def_free(def);
        volume_row_done(&row);
        volume_row_done(&plain);
}

static void test_intern(void)
{
        char name[16];

        assert(volume_format_intern("raw") == volume_format_intern("raw"));
        assert(volume_format_intern(NULL) == volume_format_intern(""));
        for (unsigned i = 0; i < 100; i++) {
                (void) snprintf(name, sizeof(name), "format%u", i);
                (void) volume_format_intern(name);
        }
        assert(streq(volume_format_intern("format1"), "format1"));
        assert(streq(volume_format_intern("format99"), "raw"));
}

int main(void)
{
        test_wire();
        test_wire_nonsense();
        test_equal();
        test_to_def();
        test_intern();
        return 0;
}
