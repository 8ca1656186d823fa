/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/raid-state.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

/* More than the kernel allows an array to have. */
#define DISKS_MAX 4096U
#define ATTRIBUTE_MAX 256U

void raid_state_done(RaidState *state)
{
        for (size_t i = 0; i < state->n_disks; i++)
                free(state->disks[i].name);
        free(state->disks);
        free(state->level);
        free(state->action);
        *state = (RaidState){0};
}

/* The attribute's text without the newline; "" if the array has not got it. */
static void read_text(int folder_fd, const char *name, char ret[static ATTRIBUTE_MAX])
{
        _cleanup_close_ int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, ret, ATTRIBUTE_MAX - 1);

        ret[n < 0 ? 0 : n] = 0;
        ret[strcspn(ret, "\n")] = 0;
}

static uint32_t read_number(int folder_fd, const char *name)
{
        char text[ATTRIBUTE_MAX];

        read_text(folder_fd, name, text);
        return (uint32_t) strtoul(text, NULL, 10);
}

/* "1234 / 5678" sectors; "none" or "delayed" where nothing moves. */
static double read_progress(int folder_fd)
{
        unsigned long long done, total;
        char text[ATTRIBUTE_MAX];

        read_text(folder_fd, "sync_completed", text);
        if (sscanf(text, "%llu / %llu", &done, &total) != 2 || total == 0)
                return 0;
        return done < total ? (double) done / (double) total : 1;
}

static bool has_word(const char *list, const char *word)
{
        size_t n = strlen(word);

        for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',') {
                if (strcspn(p, ",") == n && strncmp(p, word, n) == 0)
                        return true;
        }
        return false;
}

static int read_disk(int folder_fd, const char *entry, RaidDisk *ret)
{
        _cleanup_close_ int fd = openat(folder_fd, entry, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        unsigned major_number, minor_number;
        char text[ATTRIBUTE_MAX];

        /* Removed since the folder was read. */
        if (fd < 0)
                return -ENOENT;
        *ret = (RaidDisk){.name = strdup(entry + strlen("dev-")), .slot = -1};
        if (!ret->name)
                return -ENOMEM;
        read_text(fd, "state", text);
        ret->faulty = has_word(text, "faulty");
        ret->in_sync = has_word(text, "in_sync") && !ret->faulty;
        read_text(fd, "slot", text);
        (void) sscanf(text, "%d", &ret->slot);
        read_text(fd, "block/dev", text);
        if (sscanf(text, "%u:%u", &major_number, &minor_number) == 2)
                ret->devnum = makedev(major_number, minor_number);
        return 0;
}

static int compare_disks(const void *a, const void *b)
{
        return strcmp(((const RaidDisk *) a)->name, ((const RaidDisk *) b)->name);
}

static int read_disks(int folder_fd, DIR *dir, RaidState *state)
{
        struct dirent *entry;

        while ((entry = readdir(dir)) && state->n_disks < DISKS_MAX) {
                RaidDisk disk, *more;
                int r;

                if (!startswith(entry->d_name, "dev-"))
                        continue;
                r = read_disk(folder_fd, entry->d_name, &disk);
                if (r == -ENOENT)
                        continue;
                if (r < 0)
                        return r;
                more = reallocarray(state->disks, state->n_disks + 1, sizeof(RaidDisk));
                if (!more) {
                        free(disk.name);
                        return -ENOMEM;
                }
                state->disks = more;
                state->disks[state->n_disks++] = disk;
        }
        if (state->n_disks > 0)
                qsort(state->disks, state->n_disks, sizeof(RaidDisk), compare_disks);
        return 0;
}

static int read_all(int folder_fd, DIR *dir, RaidState *state)
{
        char text[ATTRIBUTE_MAX];

        read_text(folder_fd, "level", text);
        state->level = strdup(text);
        read_text(folder_fd, "sync_action", text);
        state->action = strdup(*text ? text : "idle");
        if (!state->level || !state->action)
                return -ENOMEM;
        read_text(folder_fd, "array_state", text);
        state->running = *text && !streq(text, "clear") && !streq(text, "inactive");
        state->broken = streq(text, "broken");
        state->n_slots = read_number(folder_fd, "raid_disks");
        state->degraded = read_number(folder_fd, "degraded");
        state->layout = read_number(folder_fd, "layout");
        if (!streq(state->action, "idle"))
                state->progress = read_progress(folder_fd);
        return read_disks(folder_fd, dir, state);
}

int raid_state_read(const char *folder, RaidState *ret)
{
        RaidState state = {0};
        DIR *dir = opendir(folder);
        int r;

        if (!dir)
                return -errno;
        r = read_all(dirfd(dir), dir, &state);
        (void) closedir(dir);
        if (r < 0) {
                raid_state_done(&state);
                return r;
        }
        *ret = state;
        return 0;
}

bool raid_state_equal(const RaidState *a, const RaidState *b)
{
        if (!streq_ptr(a->level, b->level) || !streq_ptr(a->action, b->action) || a->running != b->running ||
            a->broken != b->broken || a->n_slots != b->n_slots || a->degraded != b->degraded ||
            a->n_disks != b->n_disks)
                return false;
        for (size_t i = 0; i < a->n_disks; i++) {
                const RaidDisk *x = &a->disks[i], *y = &b->disks[i];

                if (!streq(x->name, y->name) || x->devnum != y->devnum || x->slot != y->slot ||
                    x->faulty != y->faulty || x->in_sync != y->in_sync)
                        return false;
        }
        return true;
}

const char *raid_disk_state(const RaidDisk *disk)
{
        if (disk->faulty)
                return "faulty";
        if (disk->in_sync)
                return "active";
        return disk->slot >= 0 ? "rebuilding" : "spare";
}

const RaidDisk *raid_state_find(const RaidState *state, dev_t devnum)
{
        for (size_t i = 0; i < state->n_disks; i++) {
                if (state->disks[i].devnum == devnum)
                        return &state->disks[i];
        }
        return NULL;
}

static bool slot_is_good(const RaidState *state, uint32_t slot, const RaidDisk *without)
{
        for (size_t i = 0; i < state->n_disks; i++) {
                const RaidDisk *d = &state->disks[i];

                if (d != without && d->in_sync && d->slot >= 0 && (uint32_t) d->slot == slot)
                        return true;
        }
        return false;
}

/*
 * The copies of a block lie in neighbouring slots; the next block's begin where the near copies end. The
 * numbers of near and far copies are the two bytes of the layout.
 */
static bool raid10_survives(const RaidState *state, const RaidDisk *without)
{
        uint32_t near = state->layout & 0xff, copies = near * (state->layout >> 8 & 0xff);

        if (state->n_slots == 0 || near == 0)
                return false;
        for (uint64_t first = 0; first < (uint64_t) state->n_slots * near; first += near) {
                bool good = false;

                for (uint32_t i = 0; i < copies && !good; i++)
                        good = slot_is_good(state, (uint32_t) ((first + i) % state->n_slots), without);
                if (!good)
                        return false;
        }
        return true;
}

bool raid_state_survives(const RaidState *state, const RaidDisk *without)
{
        static const struct {
                const char *level;
                uint32_t may_lack;
        } parity[] = {{"raid4", 1}, {"raid5", 1}, {"raid6", 2}};
        uint32_t good = 0;

        /* It holds nothing that would be missed. */
        if (!without->in_sync)
                return true;
        for (uint32_t slot = 0; slot < state->n_slots; slot++)
                good += slot_is_good(state, slot, without);
        if (streq(state->level, "raid1"))
                return good > 0;
        if (streq(state->level, "raid10"))
                return raid10_survives(state, without);
        for (size_t i = 0; i < ELEMENTSOF(parity); i++) {
                if (streq(parity[i].level, state->level))
                        return good + parity[i].may_lack >= state->n_slots;
        }
        return false;
}
