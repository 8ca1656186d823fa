/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/data-recover.h"
#include "common/log.h"

#include <dirent.h>
#include <inttypes.h>

#include "service/incomplete.h"
#include "service/store.h"
#include "service/unfinished.h"

#define INTENT_MAX 4096U
#define INTENT_TOKEN_MAX 319

typedef struct Intent {
        char operation[64], volume[DEF_NAME_MAX + 1], uuid[37], token[INTENT_TOKEN_MAX + 1];
        unsigned uid;
        bool in_place;
        uint64_t start; /* of the job, µs */
        uint64_t range_start, range_end;
} Intent;

static void read_intent(FILE *f, Intent *ret)
{
        char line[INTENT_MAX];

        *ret = (Intent){.uid = UINT32_MAX, .range_end = UINT64_MAX};
        while (fgets(line, sizeof line, f)) {
                (void) sscanf(line, "operation=%63s", ret->operation);
                (void) sscanf(line, "uid=%u", &ret->uid);
                (void) sscanf(line, "start=%" SCNu64, &ret->start);
                (void) sscanf(line, "pool=%36s", ret->uuid);
                (void) sscanf(line, "volume=%255[^\n]", ret->volume);
                (void) sscanf(line, "token=%319[^\n]", ret->token);
                (void) sscanf(line, "range=%" SCNu64 "-%" SCNu64, &ret->range_start, &ret->range_end);
                ret->in_place |= startswith(line, "in-place") != NULL;
        }
}

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

/* Whether something may be left of it that only its intent tells of. */
static bool recover_unfinished(Manager *m, const Intent *intent, const char *name)
{
        const Pool *pool = manager_find_by_uuid(m, intent->uuid);

        return intent->token[0] && pool && unfinished_needed(pool) &&
               unfinished_add(m, intent->uuid, intent->volume, intent->token, name) >= 0;
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

/* True: its file is still needed. Changes that go before its removal are appended to list. */
static bool recover_one(Manager *m, FILE *f, const char *name, StoreChange **list)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Intent intent;
        bool keep;

        read_intent(f, &intent);
        keep = recover_unfinished(m, &intent, name);
        if (intent.in_place &&
            incomplete_mark(m, list, intent.uuid, intent.volume, known_operation(intent.operation),
                            intent.range_start, intent.range_end) < 0) {
                log_error("Cannot mark volume '%s' as incomplete", intent.volume);
                keep = true;
        }
        if (job_new(m, manager_find_by_uuid(m, intent.uuid), known_operation(intent.operation), UINT32_MAX,
                    intent.volume, &job, NULL) < 0)
                return keep;
        recover_number(job, name);
        job->uid = intent.uid;
        job->start = intent.start;
        (void) error_setf(
                &error, STORAGE_ERROR_INTERRUPTED,
                intent.in_place && intent.range_end == 0 ? "%s of volume '%s' was cut off by the end of the "
                                                           "service: its contents are as they "
                                                           "were"
                : intent.in_place
                        ? "%s of volume '%s' was cut off by the end of the service: its contents are "
                          "incomplete until that is done again"
                        : "%s of volume '%s' was cut off by the end of the service; what was made "
                          "of it is removed",
                job->operation, intent.volume);
        job_ref(job);
        job_publish(job, true);
        job_finish(job, &error);
        return keep;
}

int data_jobs_recover(Manager *m)
{
        _cleanup_free_ char *folder = store_path(m, STORE_INTENT, "");
        struct dirent *entry;
        DIR *dir;

        dir = folder ? opendir(folder) : NULL;
        if (!dir)
                return -errno;
        while ((entry = readdir(dir))) {
                _cleanup_(store_change_freep) StoreChange *list = NULL;
                _cleanup_free_ char *path = store_path(m, STORE_INTENT, entry->d_name);
                _cleanup_fclose_ FILE *f = NULL;

                if (entry->d_name[0] == '.' || !path || !(f = fopen(path, "re")))
                        continue;
                log_notice("A job of an earlier run was cut off: %s", entry->d_name);
                if (!recover_one(m, f, entry->d_name, &list))
                        (void) store_change_remove(m, &list, STORE_INTENT, entry->d_name);
                /* Apart from the others: one that cannot be noted does not keep them. */
                if (list)
                        incomplete_apply(m, TAKE_PTR(list));
        }
        (void) closedir(dir);
        return 0;
}
