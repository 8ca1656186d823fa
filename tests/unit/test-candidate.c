/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef NDEBUG
#include <assert.h>

#include "bus-message.h"
#include "common/candidate.h"

static char **list(const char *a, const char *b)
{
        char **l = NULL;

        assert(strv_extend(&l, a) == 0 && strv_extend(&l, b) == 0);
        return l;
}

static void test_wire(void)
{
        _cleanup_bus_close_ sd_bus *bus = NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = unsent_message(&bus);
        Candidate empty = {0}, read = {0};
        Candidate full = {
                .devices = list("/dev/vdb", "/dev/vdc"),
                .links = list("/dev/disk/by-id/a", "/dev/disk/by-id/b"),
                .name = strdup("vg"),
                .format = strdup("lvm2"),
                .size = UINT64_MAX,
                .vendor = strdup("ACME"),
                .model = strdup("Disk \xff"),
                .serial = strdup("1"),
                .removable = true,
                .read_only = true,
                .contents = strdup("nothing"),
                .used_by = strdup("nobody"),
                .used_by_pool = strdup("tank"),
                .unsuitable = strdup("too small"),
        };

        assert(sd_bus_message_open_container(m, 'a', "a{sv}") >= 0);
        assert(candidate_append(&full, m) >= 0 && candidate_append(&empty, m) >= 0);
        assert(sd_bus_message_close_container(m) >= 0);
        seal_message(m);
        assert(sd_bus_message_enter_container(m, 'a', "a{sv}") > 0);
        assert(candidate_read(m, &read) == 1);
        assert(strv_equal(read.devices, full.devices) && strv_equal(read.links, full.links));
        assert(streq(read.name, "vg") && streq(read.format, "lvm2") && read.size == UINT64_MAX);
        assert(streq(read.vendor, "ACME") && streq(read.model, "Disk \xef\xbf\xbd"));
        assert(streq(read.serial, "1") && read.removable && read.read_only);
        assert(streq(read.contents, "nothing") && streq(read.used_by, "nobody"));
        assert(streq(read.used_by_pool, "tank") && streq(read.unsuitable, "too small"));
        candidate_done(&read);
        assert(!read.devices && !read.name);
        assert(candidate_read(m, &read) == 1);
        assert(!read.devices && !read.unsuitable && read.size == 0 && !read.removable);
        assert(candidate_read(m, &read) == 0);
        candidate_done(&full);
}

static void test_nonsense(void)
{
        _cleanup_bus_close_ sd_bus *bus = NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = unsent_message(&bus);
        Candidate read = {0};

        assert(sd_bus_message_append(m, "aa{sv}", 1, 3, "of-tomorrow", "u", 1, "vendor", "s", "ACME",
                                     "source-name", "u", 2) >= 0);
        seal_message(m);
        assert(sd_bus_message_enter_container(m, 'a', "a{sv}") > 0);
        assert(candidate_read(m, &read) < 0 && !read.vendor);
}

int main(void)
{
        test_wire();
        test_nonsense();
        return 0;
}
