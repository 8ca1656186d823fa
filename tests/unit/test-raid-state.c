/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reads folders made as sysfs shows arrays. */

#undef NDEBUG
#include <assert.h>

#include "backends/raid-state.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static char folder[] = "/tmp/test-raid-state-XXXXXX";

static void put(const char *name, const char *text)
{
        char path[256];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        for (char *p = strchr(path + strlen(folder) + 1, '/'); p; p = strchr(p + 1, '/')) {
                *p = 0;
                (void) mkdir(path, 0700);
                *p = '/';
        }
        f = fopen(path, "we");
        assert(f);
        assert(fputs(text, f) >= 0);
        assert(fclose(f) == 0);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        return ftw->level > 0 ? remove(path) : 0;
}

static void clear(void)
{
        assert(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static void put_array(const char *level, const char *slots, const char *degraded)
{
        clear();
        put("level", level);
        put("raid_disks", slots);
        put("degraded", degraded);
        put("array_state", "clean\n");
        put("sync_action", "idle\n");
        put("sync_completed", "none\n");
        put("layout", "0\n");
}

static void put_disk(const char *name, const char *state, const char *slot, const char *devnum)
{
        char path[128];

        (void) snprintf(path, sizeof(path), "dev-%s/state", name);
        put(path, state);
        (void) snprintf(path, sizeof(path), "dev-%s/slot", name);
        put(path, slot);
        (void) snprintf(path, sizeof(path), "dev-%s/block/dev", name);
        if (devnum)
                put(path, devnum);
}

static RaidState get(void)
{
        RaidState s = {0};

        assert(raid_state_read(folder, &s) == 0);
        return s;
}

static void test_read(void)
{
        RaidState s, again;

        put_array("raid1\n", "3\n", "1\n");
        put("sync_action", "recover\n");
        put("sync_completed", "250 / 1000\n");
        put_disk("vdc", "spare,want_replacement\n", "1\n", "254:32\n");
        put_disk("vdb", "in_sync\n", "0\n", "254:16\n");
        put_disk("vdd1", "faulty,in_sync,blocked\n", "none\n", NULL);
        put_disk("vde", "spare\n", "none\n", "254:64\n");
        s = get();
        assert(streq(s.level, "raid1") && streq(s.action, "recover"));
        assert(s.running && !s.broken && s.n_slots == 3 && s.degraded == 1);
        assert(s.progress > 0.249 && s.progress < 0.251);
        assert(s.n_disks == 4);
        assert(streq(s.disks[0].name, "vdb") && streq(raid_disk_state(&s.disks[0]), "active"));
        assert(streq(s.disks[1].name, "vdc") && streq(raid_disk_state(&s.disks[1]), "rebuilding"));
        assert(streq(s.disks[2].name, "vdd1") && streq(raid_disk_state(&s.disks[2]), "faulty"));
        assert(s.disks[2].devnum == 0 && s.disks[2].slot == -1 && !s.disks[2].in_sync);
        assert(streq(s.disks[3].name, "vde") && streq(raid_disk_state(&s.disks[3]), "spare"));
        assert(raid_state_find(&s, makedev(254, 32)) == &s.disks[1]);
        assert(!raid_state_find(&s, makedev(254, 48)));

        put("sync_completed", "500 / 1000\n");
        again = get();
        assert(raid_state_equal(&s, &again) && again.progress > 0.49);
        raid_state_done(&again);
        put("dev-vde/state", "faulty\n");
        again = get();
        assert(!raid_state_equal(&s, &again));
        raid_state_done(&again);
        raid_state_done(&s);
}

static void test_odd(void)
{
        RaidState s;

        clear();
        s = get();
        assert(!s.running && s.n_disks == 0 && streq(s.action, "idle") && streq(s.level, ""));
        raid_state_done(&s);

        put_array("raid5\n", "3 (2)\n", "0\n");
        put("array_state", "inactive\n");
        put("sync_action", "resync\n");
        put("sync_completed", "delayed\n");
        s = get();
        assert(!s.running && s.n_slots == 3 && s.progress == 0);
        raid_state_done(&s);

        put("sync_completed", "5 / 0\n");
        put("array_state", "broken\n");
        s = get();
        assert(s.running && s.broken && s.progress == 0);
        raid_state_done(&s);

        assert(raid_state_read("/nonexistent/md", &s) == -ENOENT);
}

/* Which of the disks vda, vdb, … in slots 0, 1, … can go: '1' it can, '0' it cannot, one for each. */
static void check_survives(const char *level, const char *layout, const char *states, const char *expected)
{
        char slots[32];
        RaidState s;

        (void) snprintf(slots, sizeof(slots), "%zu\n", strlen(states));
        put_array(level, slots, "0\n");
        put("layout", layout);
        for (size_t i = 0; states[i]; i++) {
                char name[] = {'v', 'd', (char) ('a' + i), 0}, slot[32];
                const char *state = states[i] == '+' ? "in_sync\n" : "spare\n";

                (void) snprintf(slot, sizeof(slot), "%zu\n", i);
                if (states[i] != '-')
                        put_disk(name, state, slot, NULL);
        }
        s = get();
        for (size_t i = 0; i < s.n_disks; i++) {
                bool can = raid_state_survives(&s, &s.disks[i]);
                size_t slot = (size_t) s.disks[i].slot;

                if (can != (expected[slot] == '1')) {
                        fprintf(stderr, "%s %s, disk %zu: %d, expected %c\n", level, states, slot, can,
                                expected[slot]);
                        abort();
                }
        }
        raid_state_done(&s);
}

static void test_survives(void)
{
        check_survives("raid0\n", "0\n", "++", "00");
        check_survives("raid1\n", "0\n", "++", "11");
        check_survives("raid1\n", "0\n", "+-", "0-");
        /* What is being rebuilt holds nothing yet. */
        check_survives("raid1\n", "0\n", "+r", "01");
        check_survives("raid4\n", "0\n", "+++", "111");
        check_survives("raid5\n", "2\n", "+++", "111");
        check_survives("raid5\n", "2\n", "++-", "00-");
        check_survives("raid6\n", "2\n", "++++", "1111");
        check_survives("raid6\n", "2\n", "+++-", "111-");
        check_survives("raid6\n", "2\n", "++--", "00--");
        /* near=2: the pairs are 0,1 and 2,3. */
        check_survives("raid10\n", "258\n", "++++", "1111");
        check_survives("raid10\n", "258\n", "+-++", "0-11");
        check_survives("raid10\n", "258\n", "+-+-", "0-0-");
        /* near=2 on three: 0,1 then 2,0 then 1,2. */
        check_survives("raid10\n", "258\n", "+++", "111");
        check_survives("raid10\n", "258\n", "++-", "00-");
        /* far=2: each with its neighbour. */
        check_survives("raid10\n", "513\n", "++++", "1111");
        check_survives("raid10\n", "513\n", "+-++", "0-01");
        check_survives("linear\n", "0\n", "++", "00");
}

int main(void)
{
        assert(mkdtemp(folder));
        test_read();
        test_odd();
        test_survives();
        clear();
        assert(rmdir(folder) == 0);
        return 0;
}
