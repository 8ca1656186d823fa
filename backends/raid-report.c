/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a running array is like, for the pool's report. */

#include "backends/raid-array.h"

static int add_member(PoolDetails *d, const char *path, const char *state)
{
        RaidMember *more, m = {.path = strdup(path), .state = strdup(state)};

        more = m.path && m.state ? reallocarray(d->raid_members, d->n_raid_members + 1, sizeof(RaidMember))
                                 : NULL;
        if (!more) {
                free(m.path);
                free(m.state);
                return -ENOMEM;
        }
        d->raid_members = more;
        d->raid_members[d->n_raid_members++] = m;
        return 0;
}

static const RaidMemberFound *find_member(const RaidArray *array, const RaidDisk *disk)
{
        for (size_t i = 0; disk->devnum != 0 && i < array->n_members; i++) {
                if (array->members[i].dev.node && array->members[i].dev.devnum == disk->devnum)
                        return &array->members[i];
        }
        return NULL;
}

/* The definition's word for a disk, where it has one. */
static int add_disk(PoolDetails *d, const RaidArray *array, const RaidDisk *disk)
{
        const RaidMemberFound *m = find_member(array, disk);
        _cleanup_free_ char *node = NULL;

        if (asprintf(&node, "/dev/%s", disk->name) < 0) {
                node = NULL;
                return -ENOMEM;
        }
        for (char *p = node + strlen("/dev/"); *p; p++)
                *p = *p == '!' ? '/' : *p;
        return add_member(d, m ? m->path : node, raid_disk_state(disk));
}

/* Of the devices that should be in it, those that are not: by name as far as that can be told. */
static int add_missing(PoolDetails *d, const RaidArray *array)
{
        const RaidState *s = &array->state;
        size_t want = array->n_members > s->n_slots ? array->n_members : s->n_slots, have = s->n_disks;

        for (size_t i = 0; i < array->n_members && have < want; i++) {
                const RaidMemberFound *m = &array->members[i];
                int r = 0;

                if (m->dev.node && raid_state_find(s, m->dev.devnum))
                        continue;
                have++;
                r = add_member(d, m->path, "missing");
                if (r < 0)
                        return r;
        }
        for (; have < s->n_slots; have++) {
                int r = add_member(d, "", "missing");

                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_details(PoolDetails *d, const RaidArray *array)
{
        const RaidState *s = &array->state;
        int r;

        r = free_and_strdup(&d->raid_level, s->level);
        if (r >= 0)
                r = free_and_strdup(&d->raid_action, s->action);
        d->raid_degraded = s->degraded;
        d->raid_progress = s->progress;
        for (size_t i = 0; r >= 0 && i < s->n_disks && d->n_raid_members < DETAILS_LIST_MAX; i++)
                r = add_disk(d, array, &s->disks[i]);
        return r < 0 ? r : add_missing(d, array);
}

/* The members in that state: "/dev/vdb, /dev/vdc", or "". The caller's; NULL: out of memory. */
static char *list_members(const PoolDetails *d, const char *state)
{
        char *words = strdup("");

        for (size_t i = 0; words && i < d->n_raid_members; i++) {
                const RaidMember *m = &d->raid_members[i];
                char *more;

                if (!streq(m->state, state) || isempty(m->path))
                        continue;
                if (asprintf(&more, "%s%s%s", words, *words ? ", " : "", m->path) < 0)
                        more = NULL;
                free(words);
                words = more;
        }
        return words;
}

static int add_degraded(PoolReport *report, const RaidArray *array, const char *faulty, const char *missing)
{
        const RaidState *s = &array->state;
        const char *advice;

        if (streq(s->action, "recover"))
                advice = "It is being rebuilt, which needs nothing but time";
        else if (*faulty)
                advice = "Remove the failed devices and add others of at least their size";
        else
                advice = "Add the missing devices again, or others of at least their size";
        return pool_report_add(report, "degraded-array",
                               "The array %s (%s) lacks %u of its %u devices%s%s%s%s. %s", array->path,
                               s->level, s->degraded, s->n_slots, *faulty ? "; failed: " : "", faulty,
                               *missing ? "; missing: " : "", missing, advice);
}

static int add_problems(PoolReport *report, const RaidArray *array)
{
        _cleanup_free_ char *faulty = list_members(&report->details, "faulty");
        _cleanup_free_ char *missing = list_members(&report->details, "missing");
        const RaidState *s = &array->state;

        if (!faulty || !missing)
                return -ENOMEM;
        if (s->broken) {
                report->health = HEALTH_INACCESSIBLE;
                return pool_report_add(
                        report, "degraded-array",
                        "The array %s (%s) has lost more devices than it can do without%s%s%s%s. Stop "
                        "the pool, bring the devices back and start it again",
                        array->path, s->level, *faulty ? "; failed: " : "", faulty,
                        *missing ? "; missing: " : "", missing);
        }
        if (s->degraded == 0 && !*faulty && !*missing)
                return 0;
        if (report->health == HEALTH_OK)
                report->health = HEALTH_DEGRADED;
        if (s->degraded > 0)
                return add_degraded(report, array, faulty, missing);
        return pool_report_add(
                report, "missing-device",
                "The array %s (%s) has all its data, but not all its devices%s%s%s%s. Remove the failed "
                "ones and add others, so that it has its spares again",
                array->path, s->level, *faulty ? "; failed: " : "", faulty, *missing ? "; missing: " : "",
                missing);
}

int raid_report(BackendContext *ctx, PoolReport *report)
{
        _cleanup_(raid_array_done) RaidArray array = {0};
        int r;

        r = raid_array_look(ctx, &array);
        if (r < 0)
                return r;
        if (!array.name || !array.state.running || !raid_array_is_ours(&array)) {
                report->health = HEALTH_INACCESSIBLE;
                r = pool_report_add(report, "inaccessible",
                                    "The array %s does not run: start the pool again", array.path);
        } else {
                r = add_details(&report->details, &array);
                if (r >= 0)
                        r = add_problems(report, &array);
        }
        return r < 0 ? error_set_errno(ctx->error, r, "Cannot report on the array %s", array.path) : 0;
}
