/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/incomplete.h"
#include "common/log.h"

#include <inttypes.h>

#include "service/store-read.h"

struct Incomplete {
        RB_ENTRY(Incomplete) node;
        uint64_t id; /* its file's name */
        char pool_uuid[37];
        char *volume, *operation;
        char *from; /* a commit's overlay, while that has all that was to be written; NULL */
        uid_t uid;
        uint64_t since; /* µs UTC */
        uint64_t start, end;
        char **intents; /* names of those that tell of it too, as its file could not be written */
};

/* What was written to: it decides what can be the proof that all is well again. */
typedef enum MarkKind {
        KIND_BYTES,    /* the file or device */
        KIND_CONTENTS, /* an image's contents, by way of its format: its snapshots are as they were */
        KIND_ROOM,     /* only what an image counts as used */
} MarkKind;

/* Of one volume they are in the order in which they were made. */
static int compare(Incomplete *a, Incomplete *b)
{
        int r = strcmp(a->pool_uuid, b->pool_uuid);

        r = r ? r : strcmp(a->volume, b->volume);
        return r ? r : (a->id > b->id) - (a->id < b->id);
}

RB_PROTOTYPE(IncompleteTree, Incomplete, node, compare)
RB_GENERATE(IncompleteTree, Incomplete, node, compare)

static MarkKind kind_of(const char *operation, uint64_t end)
{
        if (end == 0)
                return KIND_ROOM;
        return streq(operation, "commit-volume") || streq(operation, "revert-snapshot") ? KIND_CONTENTS
                                                                                        : KIND_BYTES;
}

static MarkKind kind_of_mark(const Incomplete *i)
{
        return kind_of(i->operation, i->end);
}

static void mark_free(Incomplete *i)
{
        free(i->volume);
        free(i->operation);
        free(i->from);
        strv_free(i->intents);
        free(i);
}

static void mark_unlink(Manager *m, Incomplete *i)
{
        RB_REMOVE(IncompleteTree, &m->incomplete, i);
        m->n_incomplete--;
        mark_free(i);
}

/* The mark of the volume that follows last; NULL: its first one, and if there is none. */
static Incomplete *next_of(Manager *m, const char *pool_uuid, const char *volume, Incomplete *last)
{
        Incomplete key = {.volume = (char *) volume}, *i;

        (void) snprintf(key.pool_uuid, sizeof key.pool_uuid, "%s", pool_uuid);
        i = last ? RB_NEXT(IncompleteTree, &m->incomplete, last)
                 : RB_NFIND(IncompleteTree, &m->incomplete, &key);
        return i && streq(i->volume, volume) && streq(i->pool_uuid, pool_uuid) ? i : NULL;
}

static void announce(Manager *m, const char *pool_uuid, const char *volume)
{
        Pool *pool = manager_find_by_uuid(m, pool_uuid);
        Volume *v = pool ? volume_find(pool, volume) : NULL;

        if (v)
                volume_mark_changed(v, VOLUME_CONTENT);
}

static int add(Manager *m, uint64_t id, const InPlaceChange *c, Incomplete **ret)
{
        Incomplete *i = calloc(1, sizeof *i);
        int r;

        if (!i)
                return -ENOMEM;
        *i = (Incomplete){.id = id,
                          .uid = c->uid,
                          .since = c->since,
                          .start = c->start,
                          .end = c->end,
                          .volume = strdup(c->volume),
                          .operation = strdup(c->operation)};
        (void) snprintf(i->pool_uuid, sizeof i->pool_uuid, "%s", c->pool_uuid);
        r = i->volume && i->operation ? free_and_strdup(&i->from, c->from) : -ENOMEM;
        if (r >= 0 && RB_INSERT(IncompleteTree, &m->incomplete, i))
                r = -EINVAL;
        if (r < 0) {
                mark_free(i);
                return r;
        }
        m->n_incomplete++;
        *ret = i;
        return 0;
}

/* files */

static int write_file(Manager *m, StoreChange **list, const Incomplete *i)
{
        _cleanup_free_ char *content = NULL;
        char name[24];

        (void) snprintf(name, sizeof name, "%" PRIu64, i->id);
        if (asprintf(&content,
                     "pool=%s\nvolume=%s\noperation=%s\nfrom=%s\nuid=%u\nsince=%" PRIu64 "\nstart=%" PRIu64
                     "\nend=%" PRIu64 "\n",
                     i->pool_uuid, i->volume, i->operation, strempty(i->from), i->uid, i->since, i->start,
                     i->end) < 0) {
                content = NULL;
                return -ENOMEM;
        }
        return store_change_write(m, list, STORE_INCOMPLETE, name, content);
}

static int remove_files(Manager *m, StoreChange **list, const Incomplete *i)
{
        char name[24], **intent;
        int r;

        (void) snprintf(name, sizeof name, "%" PRIu64, i->id);
        r = store_change_remove(m, list, STORE_INCOMPLETE, name);
        STRV_FOREACH (intent, i->intents) {
                if (r >= 0)
                        r = store_change_remove(m, list, STORE_INTENT, *intent);
        }
        return r;
}

static int drop(Manager *m, StoreChange **list, Incomplete *i)
{
        int r = remove_files(m, list, i);

        if (r >= 0)
                mark_unlink(m, i);
        return r;
}

static void forgotten(const sd_bus_error *error, void *userdata)
{
        if (error)
                log_error("Cannot remove the note of a volume that was incomplete, which may be called that "
                          "again at the service's next start: %s",
                          strempty(error->message));
}

/* what an overlay left half written */

char *incomplete_source(const Volume *v)
{
        char *name;

        return asprintf(&name, "%s/%s", v->pool->def->uuid, v->row.name) < 0 ? NULL : name;
}

static Incomplete *next_from(Manager *m, const char *pool_uuid, const char *volume, Incomplete *last)
{
        char name[INCOMPLETE_SOURCE_SIZE];
        Incomplete *i = last ? RB_NEXT(IncompleteTree, &m->incomplete, last)
                             : RB_MIN(IncompleteTree, &m->incomplete);

        (void) snprintf(name, sizeof name, "%s/%s", pool_uuid, volume);
        while (i && !streq_ptr(i->from, name))
                i = RB_NEXT(IncompleteTree, &m->incomplete, i);
        return i;
}

static int forget_source(Manager *m, StoreChange **list, const char *pool_uuid, const char *volume)
{
        Incomplete *i = NULL;
        int r = 0;

        while (r >= 0 && (i = next_from(m, pool_uuid, volume, i))) {
                (void) free_and_strdup(&i->from, NULL);
                announce(m, i->pool_uuid, i->volume);
                r = write_file(m, list, i);
        }
        return r;
}

void incomplete_forget_source(Manager *m, const char *pool_uuid, const char *volume)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;

        if (forget_source(m, &list, pool_uuid, volume) >= 0 && list)
                (void) store_apply(m->store, TAKE_PTR(list), forgotten, NULL);
}

/* mark */

/* Whether what mends i mends the change, too. */
static bool covers(const Incomplete *i, const InPlaceChange *c)
{
        if (i->start > c->start || i->end < c->end || kind_of_mark(i) != kind_of(c->operation, c->end))
                return false;
        return kind_of_mark(i) == KIND_BYTES ||
               (streq(i->operation, c->operation) && (!i->from || streq_ptr(i->from, c->from)));
}

static bool is_of_another_source(const Incomplete *i, const InPlaceChange *c)
{
        return i->end > 0 && kind_of_mark(i) == KIND_CONTENTS && streq(i->operation, c->operation) &&
               i->start <= c->start && i->end >= c->end;
}

/* into takes the place of i. */
static int merge(Manager *m, StoreChange **list, Incomplete *i, Incomplete *into)
{
        char **intent;
        int r = 0;

        STRV_FOREACH (intent, i->intents) {
                if (r >= 0)
                        r = strv_extend(&into->intents, *intent);
        }
        i->intents = strv_free(i->intents);
        return r < 0 ? r : drop(m, list, i);
}

/* What the new mark covers needs none of its own; of too many ranges it becomes the one around all. */
static int keep_few(Manager *m, StoreChange **list, Incomplete *new)
{
        Incomplete *i, *next;
        uint64_t start = new->start, end = new->end;
        unsigned n = 0;
        int r = 0;

        for (i = NULL; (i = next_of(m, new->pool_uuid, new->volume, i));) {
                if (kind_of_mark(i) != KIND_BYTES)
                        continue;
                n += i->start < new->start || i->end > new->end || i == new;
                start = i->start < start ? i->start : start;
                end = i->end > end ? i->end : end;
                /* A snapshot that is younger than one of them is not whole. */
                new->since = i->since < new->since ? i->since : new->since;
        }
        if (n > INCOMPLETE_RANGES_MAX) {
                new->start = start;
                new->end = end;
        }
        r = write_file(m, list, new);
        for (i = next_of(m, new->pool_uuid, new->volume, NULL); r >= 0 && i; i = next) {
                next = next_of(m, new->pool_uuid, new->volume, i);
                if (i != new &&kind_of_mark(i) == KIND_BYTES && i->start >= new->start && i->end <= new->end)
                        r = merge(m, list, i, new);
        }
        return r;
}

int incomplete_mark(Manager *m, StoreChange **list, const InPlaceChange *c)
{
        bool bytes = kind_of(c->operation, c->end) == KIND_BYTES;
        Incomplete *i = NULL;
        int r;

        r = bytes ? forget_source(m, list, c->pool_uuid, c->volume) : 0;
        if (r < 0)
                return r;
        while ((i = next_of(m, c->pool_uuid, c->volume, i))) {
                if (covers(i, c))
                        return 0;
                /* Neither of two overlays has all that has to be written again. */
                if (is_of_another_source(i, c)) {
                        (void) free_and_strdup(&i->from, NULL);
                        return write_file(m, list, i);
                }
        }
        r = add(m, ++m->last_incomplete, c, &i);
        if (r < 0)
                return r;
        announce(m, c->pool_uuid, c->volume);
        return bytes ? keep_few(m, list, i) : write_file(m, list, i);
}

/* mend */

static bool is_mended(const Incomplete *i, const InPlaceChange *c, InPlaceMends mends)
{
        /* A snapshot that others made of a volume that was incomplete is that, too. */
        if (kind_of_mark(i) != KIND_ROOM && c->as_of >= i->since && c->as_of > 0)
                return false;
        switch (mends) {
        case MENDS_BYTES:
                if (kind_of_mark(i) == KIND_ROOM)
                        return c->start == 0 && c->end == UINT64_MAX;
                return i->start >= c->start && i->end <= c->end;
        case MENDS_SAME:
                return streq(i->operation, c->operation) &&
                       (c->from ? streq_ptr(i->from, c->from) : !i->from) && i->start >= c->start &&
                       i->end <= c->end;
        case MENDS_ROOM:
                return kind_of_mark(i) == KIND_ROOM;
        case MENDS_CONTENTS:
                return kind_of_mark(i) != KIND_BYTES;
        default:
                return false;
        }
}

int incomplete_mend(Manager *m, StoreChange **list, const InPlaceChange *c, InPlaceMends mends)
{
        Incomplete *i, *next;
        int r = 0;

        for (i = next_of(m, c->pool_uuid, c->volume, NULL); r >= 0 && i; i = next) {
                next = next_of(m, c->pool_uuid, c->volume, i);
                if (!is_mended(i, c, mends))
                        continue;
                r = drop(m, list, i);
                announce(m, c->pool_uuid, c->volume);
        }
        /* What it is now has nothing to do with what it was when it was committed. */
        return r >= 0 && mends == MENDS_BYTES ? forget_source(m, list, c->pool_uuid, c->volume) : r;
}

void incomplete_forget(Manager *m, const char *pool_uuid, const char *volume)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        const InPlaceChange all = {.pool_uuid = pool_uuid, .volume = volume, .end = UINT64_MAX};

        if (RB_EMPTY(&m->incomplete))
                return;
        if (incomplete_mend(m, &list, &all, MENDS_BYTES) >= 0 && list)
                (void) store_apply(m->store, TAKE_PTR(list), forgotten, NULL);
}

static int rename_mark(Manager *m, StoreChange **list, Incomplete *i, const char *name)
{
        char *copy = strdup(name);

        if (!copy)
                return -ENOMEM;
        RB_REMOVE(IncompleteTree, &m->incomplete, i);
        free(i->volume);
        i->volume = copy;
        (void) RB_INSERT(IncompleteTree, &m->incomplete, i);
        return write_file(m, list, i);
}

void incomplete_rename(Manager *m, const char *pool_uuid, const char *volume, const char *name)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        char from[INCOMPLETE_SOURCE_SIZE];
        Incomplete *i = NULL;
        int r = 0;

        (void) snprintf(from, sizeof from, "%s/%s", pool_uuid, name);
        while (r >= 0 && (i = next_from(m, pool_uuid, volume, i))) {
                r = free_and_strdup(&i->from, from);
                if (r >= 0)
                        r = write_file(m, &list, i);
        }
        while (r >= 0 && (i = next_of(m, pool_uuid, volume, NULL)))
                r = rename_mark(m, &list, i, name);
        announce(m, pool_uuid, name);
        if (r >= 0 && list)
                r = store_apply(m->store, TAKE_PTR(list), forgotten, NULL);
        if (r < 0)
                log_error("Cannot note that volume '%s' is called '%s' now", volume, name);
}

/* What is to be known when the changes are on disk, or are not. */
typedef struct Applied {
        Manager *manager;
        char pool_uuid[37];
        char *volume, *intent;
} Applied;

static void applied_free(Applied *a)
{
        free(a->volume);
        free(a->intent);
        free(a);
}

/* It tells of what the volume's mark tells of: they go together. Without a mark it has nothing to tell. */
static void keep_intent(const Applied *a)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        Incomplete *i = next_of(a->manager, a->pool_uuid, a->volume, NULL);

        if (i)
                (void) strv_extend(&i->intents, a->intent);
        else if (store_change_remove(a->manager, &list, STORE_INTENT, a->intent) >= 0)
                (void) store_apply(a->manager->store, TAKE_PTR(list), forgotten, NULL);
}

static void applied(const sd_bus_error *error, void *userdata)
{
        Applied *a = userdata;

        if (error)
                log_error(
                        "Cannot note what became of volume '%s'; that is tried again at the service's next "
                        "start: %s",
                        a->volume, strempty(error->message));
        if (error && a->intent)
                keep_intent(a);
        applied_free(a);
}

void incomplete_apply(Manager *m, StoreChange *list, const InPlaceChange *change, const char *intent)
{
        Applied *a = calloc(1, sizeof *a);
        int r = -ENOMEM;

        if (a) {
                a->manager = m;
                (void) snprintf(a->pool_uuid, sizeof a->pool_uuid, "%s", change->pool_uuid);
                a->volume = strdup(change->volume);
                r = a->volume ? free_and_strdup(&a->intent, intent) : -ENOMEM;
        }
        if (r >= 0)
                r = store_apply(m->store, list, applied, a);
        else
                store_change_free(list);
        if (r >= 0)
                return;
        log_error("Cannot note what became of volume '%s': out of memory", change->volume);
        if (a)
                applied_free(a);
}

/* what is asked */

bool incomplete_is_marked(const Volume *v)
{
        return next_of(v->pool->manager, v->pool->def->uuid, v->row.name, NULL);
}

bool incomplete_knows(const Volume *v)
{
        return incomplete_is_marked(v) || next_from(v->pool->manager, v->pool->def->uuid, v->row.name, NULL);
}

static unsigned count_of_user(Manager *m, uid_t uid)
{
        Incomplete *i;
        unsigned n = 0;

        RB_FOREACH (i, IncompleteTree, &m->incomplete) {
                n += i->uid == uid;
        }
        return n;
}

int incomplete_require_room(const Volume *v, uid_t uid, sd_bus_error *error)
{
        Manager *m = v->pool->manager;
        bool all = m->n_incomplete >= INCOMPLETE_MAX;

        /* Who mends one is not kept from that. */
        if (incomplete_is_marked(v) || (!all && count_of_user(m, uid) < INCOMPLETE_PER_USER_MAX))
                return 0;
        return error_setf(
                error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                "Volume '%s' of pool '%s' cannot be changed in place, after which it might be incomplete: "
                "that many volumes are so already by jobs of %s. Do these jobs again, or delete the "
                "volumes",
                v->row.name, v->pool->def->name, all ? "all users" : "yours");
}

/* The mark that matters most, of those that are not from one source; NULL: of all. */
static const Incomplete *worst_but_from(const Volume *v, const char *from)
{
        const Incomplete *worst = NULL;
        Incomplete *i = NULL;

        while ((i = next_of(v->pool->manager, v->pool->def->uuid, v->row.name, i))) {
                if ((!from || !streq_ptr(i->from, from)) && (!worst || kind_of_mark(i) < kind_of_mark(worst)))
                        worst = i;
        }
        return worst;
}

static const Incomplete *worst_of(const Volume *v)
{
        return worst_but_from(v, NULL);
}

int incomplete_describe(const Volume *v, char **ret)
{
        const Incomplete *i = worst_of(v);
        int r;

        *ret = NULL;
        if (!i)
                return 0;
        if (kind_of_mark(i) == KIND_ROOM)
                r = asprintf(
                        ret,
                        "unfinished: %s was cut off; the contents are as they were, but room in the image "
                        "may be lost until %s",
                        i->operation,
                        streq(i->operation, "rebase-volume") ? "that is done again"
                                                             : "its snapshots are changed again");
        else
                r = asprintf(
                        ret,
                        "incomplete: %s was cut off or failed, so that the contents are neither the old nor "
                        "the new ones; %s, or delete the volume",
                        i->operation,
                        streq(i->operation, "commit-volume") && !i->from
                                ? "the overlay is not what it was: overwrite all of it"
                                : "do it again");
        return r < 0 ? -ENOMEM : 0;
}

static int require_whole(const Volume *v, const Incomplete *i, const char *done, sd_bus_error *error)
{
        if (!i || kind_of_mark(i) == KIND_ROOM)
                return 0;
        return error_setf(error, STORAGE_ERROR_FAILED,
                          "Volume '%s' of pool '%s' cannot be %s: it is incomplete, as %s was cut off or "
                          "failed; do that "
                          "again first",
                          v->row.name, v->pool->def->name, done, i->operation);
}

int incomplete_require_whole(const Volume *v, const char *done, sd_bus_error *error)
{
        return require_whole(v, worst_of(v), done, error);
}

int incomplete_require_whole_below(const Volume *overlay, const Volume *backing, sd_bus_error *error)
{
        _cleanup_free_ char *from = incomplete_source(overlay);

        return from ? require_whole(backing, worst_but_from(backing, from), "copied from", error) : -ENOMEM;
}

/* at the start and the end */

static int load_one(Manager *m, const char *name, FILE *f)
{
        char pool[37], volume[DEF_NAME_MAX + 1], operation[64], from[INCOMPLETE_SOURCE_SIZE], uid[16],
                since[24], start[24], end[24];
        const StoreField fields[] = {STORE_FIELD("pool", pool),
                                     STORE_FIELD("volume", volume),
                                     STORE_FIELD("operation", operation),
                                     STORE_FIELD("from", from),
                                     STORE_FIELD("uid", uid),
                                     STORE_FIELD("since", since),
                                     STORE_FIELD("start", start),
                                     STORE_FIELD("end", end)};
        uint64_t id = store_read_number(name, 0);
        Incomplete *i;

        store_read_fields(f, fields, ELEMENTSOF(fields));
        if (id > m->last_incomplete)
                m->last_incomplete = id;
        if (!id || !volume[0] || !pool[0])
                return -EINVAL;
        return add(m, id,
                   &(InPlaceChange){.pool_uuid = pool,
                                    .volume = volume,
                                    .operation = operation,
                                    .from = from[0] ? from : NULL,
                                    .uid = (uid_t) store_read_number(uid, UINT32_MAX),
                                    .since = store_read_number(since, 0),
                                    .start = store_read_number(start, 0),
                                    .end = store_read_number(end, UINT64_MAX)},
                   &i);
}

int incomplete_load(Manager *m)
{
        return store_read_each(m, STORE_INCOMPLETE, load_one);
}

void incomplete_free_all(Manager *m)
{
        Incomplete *i;

        while ((i = RB_MIN(IncompleteTree, &m->incomplete)))
                mark_unlink(m, i);
}
