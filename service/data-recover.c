/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/data-recover.h"
#include "common/log.h"

#include <inttypes.h>

#include "service/intent.h"
#include "service/store-read.h"
#include "service/unfinished.h"
#include "service/volume-secret.h"

/* For so long a pool that is not defined is expected back, with what is to be removed in it. */
#define KEPT_USEC (UINT64_C(180 * 24 * 3600) * USEC_PER_SEC)

/* A job's operation is a literal; what is read becomes one of those that move data. */
static const char *known_operation(const char *name)
{
        static const char *const known[] = {"create-volume",   "clone-volume",    "import-volume",
                                            "wipe-volume",     "upload-volume",   "resize-volume",
                                            "flatten-volume",  "rebase-volume",   "commit-volume",
                                            "revert-snapshot", "create-snapshot", "delete-snapshot"};

        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                if (streq(known[i], name))
                        return known[i];
        }
        return "unknown";
}

/* Its pool may come back with the same UUID. */
static bool is_kept_without_pool(const Intent *intent)
{
        return unfinished_is_needed_for(pool_type_from_string(intent->pool_type)) &&
               intent->since + KEPT_USEC > now_realtime();
}

/* Whether something may be left of it that only its intent tells of. */
static bool recover_unfinished(Manager *m, const Intent *intent, const char *name)
{
        const Pool *pool = manager_find_by_uuid(m, intent->pool_uuid);

        if (!intent->token[0] || !(pool ? unfinished_needed(pool) : is_kept_without_pool(intent)))
                return false;
        if (unfinished_add(m, intent->pool_uuid, intent->volume, intent->token, name) >= 0)
                return true;
        log_error("What is left of volume '%s' of pool %s is not removed: there is too much of that kind",
                  intent->volume, intent->pool_uuid);
        return false;
}

/*
 * It gets the number back by which its caller knows it, if no job of this run can have that: those of an
 * earlier boot may be larger than ours.
 */
static void recover_number(Job *job, const char *name)
{
        uint64_t id = 0;

        if (sscanf(name, "%" SCNu64, &id) == 1 && id > 0 && id < job->id)
                job->id = id;
}

static const char *what_became_of_it(const Intent *intent)
{
        if (intent->stage == INTENT_MAKES)
                return "what was made of it is removed";
        if (intent->stage == INTENT_BEGINS || intent->end == 0)
                return "its contents are as they were";
        return "its contents are incomplete until that is done again";
}

/* Shows it as a job that has failed. */
static void tell(Manager *m, const Intent *intent, const char *name)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;

        log_notice("A job of an earlier run was cut off: %s", name);
        if (job_new(m, manager_find_by_uuid(m, intent->pool_uuid), known_operation(intent->operation),
                    UINT32_MAX, intent->volume, &job, NULL) < 0)
                return;
        recover_number(job, name);
        job->uid = intent->uid;
        job->start = intent->since;
        (void) error_setf(&error, STORAGE_ERROR_INTERRUPTED,
                          "%s of volume '%s' was cut off by the end of the service: %s", job->operation,
                          intent->volume, what_became_of_it(intent));
        job_ref(job);
        job_publish(job, true);
        job_finish(job, &error);
}

/* What it may have left in place is marked, and then there is no more need for it. */
static void finish(Manager *m, const Intent *intent, const char *name)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        const InPlaceChange change = intent_change(intent);
        int r = 0;

        if (intent->stage == INTENT_WRITES)
                r = incomplete_mark(m, &list, &change);
        if (r >= 0)
                r = store_change_remove(m, &list, STORE_INTENT, name);
        if (r < 0)
                log_error("Cannot note what became of volume '%s'", intent->volume);
        if (list)
                incomplete_apply(m, TAKE_PTR(list), &change, name);
}

/* What was made may be whole, as all that was missing was this note. */
static void note_secret(Manager *m, const Intent *intent)
{
        if (!intent->secret[0] || volume_secret_is_known(m, intent->pool_uuid, intent->volume))
                return;
        if (volume_secret_record(m, intent->pool_uuid, intent->volume, intent->secret, NULL, NULL) < 0)
                log_error("Cannot note with which secret volume '%s' is encrypted", intent->volume);
}

static void set_told(Manager *m, Intent *intent, const char *name)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;

        intent->stage = INTENT_IS_TOLD;
        if (intent_write(m, &list, name, intent) >= 0)
                (void) store_apply(m->store, TAKE_PTR(list), NULL, NULL);
}

/* Each by itself: one that cannot be noted does not keep the others. */
static int recover_one(Manager *m, const char *name, FILE *f)
{
        Intent intent;
        bool told;
        int r;

        r = intent_read(f, &intent);
        if (r < 0)
                return r;
        told = intent.stage == INTENT_IS_TOLD;
        if (!told)
                tell(m, &intent, name);
        if (intent.stage == INTENT_MAKES)
                note_secret(m, &intent);
        if (!recover_unfinished(m, &intent, name))
                finish(m, &intent, name);
        else if (!told)
                set_told(m, &intent, name);
        return 0;
}

int data_jobs_recover(Manager *m)
{
        return store_read_each(m, STORE_INTENT, recover_one);
}
