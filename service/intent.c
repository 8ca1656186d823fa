/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/intent.h"

#include <inttypes.h>
#include <sys/random.h>

#include "service/store-read.h"

static const char *const stage_names[_INTENT_STAGE_MAX] = {
        [INTENT_MAKES] = "makes",
        [INTENT_BEGINS] = "begins",
        [INTENT_WRITES] = "writes",
        [INTENT_IS_TOLD] = "told",
};

int intent_write(const Manager *m, StoreChange **list, const char *name, const Intent *i)
{
        _cleanup_free_ char *content = NULL;

        if (asprintf(&content,
                     "operation=%s\nuid=%u\nsince=%" PRIu64
                     "\npool=%s\npool-type=%s\nvolume=%s\nstage=%s\ntoken=%s\n"
                     "from=%s\nsecret=%s\nstart=%" PRIu64 "\nend=%" PRIu64 "\n",
                     i->operation, i->uid, i->since, i->pool_uuid, i->pool_type, i->volume,
                     stage_names[i->stage], i->token, i->from, i->secret, i->start, i->end) < 0) {
                content = NULL;
                return -ENOMEM;
        }
        return store_change_write(m, list, STORE_INTENT, name, content);
}

/* One that cannot be understood may have been written to. */
static IntentStage stage_from_string(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(stage_names); i++) {
                if (streq(stage_names[i], name))
                        return (IntentStage) i;
        }
        return INTENT_WRITES;
}

int intent_read(FILE *f, Intent *ret)
{
        char uid[16], since[24], start[24], end[24], stage[16];
        const StoreField fields[] = {STORE_FIELD("operation", ret->operation),
                                     STORE_FIELD("pool", ret->pool_uuid),
                                     STORE_FIELD("pool-type", ret->pool_type),
                                     STORE_FIELD("volume", ret->volume),
                                     STORE_FIELD("token", ret->token),
                                     STORE_FIELD("from", ret->from),
                                     STORE_FIELD("uid", uid),
                                     STORE_FIELD("since", since),
                                     STORE_FIELD("start", start),
                                     STORE_FIELD("end", end),
                                     STORE_FIELD("stage", stage),
                                     STORE_FIELD("secret", ret->secret)};

        store_read_fields(f, fields, ELEMENTSOF(fields));
        ret->uid = (uid_t) store_read_number(uid, UINT32_MAX);
        ret->since = store_read_number(since, 0);
        ret->start = store_read_number(start, 0);
        ret->end = store_read_number(end, UINT64_MAX);
        ret->stage = stage_from_string(stage);
        return ret->pool_uuid[0] && ret->volume[0] ? 0 : -EINVAL;
}

InPlaceChange intent_change(const Intent *i)
{
        return (InPlaceChange){.pool_uuid = i->pool_uuid,
                               .volume = i->volume,
                               .operation = i->operation,
                               .from = i->from[0] ? i->from : NULL,
                               .uid = i->uid,
                               .since = i->since,
                               .start = i->start,
                               .end = i->end};
}

/* Numbers are unique in one boot; what is kept may be older. */
char *intent_name(uint64_t job)
{
        uint64_t n;
        char *name;

        if (getrandom(&n, sizeof n, 0) != (ssize_t) sizeof n)
                n = now_realtime();
        return asprintf(&name, "%" PRIu64 "-%016" PRIx64, job, n) < 0 ? NULL : name;
}
