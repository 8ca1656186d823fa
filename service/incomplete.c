/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/incomplete.h"
#include "common/log.h"

#include <dirent.h>
#include <inttypes.h>

#define LINE_MAX_SIZE 512U
/* Each is a failed job of a user who may write volumes, and a file. The oldest are forgotten first. */
#define INCOMPLETE_MAX 4096U

struct Incomplete {
        TAILQ_ENTRY(Incomplete) entry;
        uint64_t id; /* its file's name */
        char pool_uuid[37];
        char *volume, *operation;
        uint64_t start, end;
};

static void mark_free(Incomplete *i)
{
        free(i->volume);
        free(i->operation);
        free(i);
}

static void mark_unlink(Manager *m, Incomplete *i)
{
        TAILQ_REMOVE(&m->incomplete, i, entry);
        m->n_incomplete--;
        mark_free(i);
}

static bool is_of(const Incomplete *i, const char *pool_uuid, const char *volume)
{
        return streq(i->volume, volume) && streq(i->pool_uuid, pool_uuid);
}

static void announce(Manager *m, const char *pool_uuid, const char *volume)
{
        Pool *pool = manager_find_by_uuid(m, pool_uuid);
        Volume *v = pool ? volume_find(pool, volume) : NULL;

        if (v)
                volume_mark_changed(v, VOLUME_CONTENT);
}

/* Takes nothing. */
static int add(Manager *m, uint64_t id, const char *pool_uuid, const char *volume, const char *operation,
               uint64_t start, uint64_t end, Incomplete **ret)
{
        Incomplete *i = calloc(1, sizeof *i);

        if (!i)
                return -ENOMEM;
        *i = (Incomplete){.id = id,
                          .start = start,
                          .end = end,
                          .volume = strdup(volume),
                          .operation = strdup(operation)};
        (void) snprintf(i->pool_uuid, sizeof i->pool_uuid, "%s", pool_uuid);
        if (!i->volume || !i->operation) {
                mark_free(i);
                return -ENOMEM;
        }
        TAILQ_INSERT_TAIL(&m->incomplete, i, entry);
        m->n_incomplete++;
        if (id > m->last_incomplete)
                m->last_incomplete = id;
        *ret = i;
        return 0;
}

static int remove_file(Manager *m, StoreChange **list, uint64_t id)
{
        char name[24];

        (void) snprintf(name, sizeof name, "%" PRIu64, id);
        return store_change_remove(m, list, STORE_INCOMPLETE, name);
}

static int write_file(Manager *m, StoreChange **list, const Incomplete *i)
{
        _cleanup_free_ char *content = NULL;
        char name[24];

        (void) snprintf(name, sizeof name, "%" PRIu64, i->id);
        if (asprintf(&content, "pool=%s\nvolume=%s\noperation=%s\nstart=%" PRIu64 "\nend=%" PRIu64 "\n",
                     i->pool_uuid, i->volume, i->operation, i->start, i->end) < 0)
                return -ENOMEM;
        return store_change_write(m, list, STORE_INCOMPLETE, name, content);
}

int incomplete_mark(Manager *m, StoreChange **list, const char *pool_uuid, const char *volume,
                    const char *operation, uint64_t start, uint64_t end)
{
        Incomplete *i, *oldest;
        int r;

        TAILQ_FOREACH (i, &m->incomplete, entry) {
                if (is_of(i, pool_uuid, volume) && i->start <= start && i->end >= end)
                        return 0;
        }
        r = add(m, m->last_incomplete + 1, pool_uuid, volume, operation, start, end, &i);
        if (r < 0)
                return r;
        announce(m, pool_uuid, volume);
        r = write_file(m, list, i);
        if (r < 0 || m->n_incomplete <= INCOMPLETE_MAX)
                return r;
        oldest = TAILQ_FIRST(&m->incomplete);
        r = remove_file(m, list, oldest->id);
        mark_unlink(m, oldest);
        return r;
}

static void applied(const sd_bus_error *error, void *userdata)
{
        if (error)
                log_error("Cannot note what became of a volume; that is tried again at the service's next "
                          "start: %s",
                          error->message);
}

void incomplete_apply(Manager *m, StoreChange *list)
{
        if (store_apply(m->store, list, applied, NULL) < 0)
                log_error("Cannot note what became of a volume: out of memory");
}

void incomplete_clear(Manager *m, const char *pool_uuid, const char *volume, uint64_t start, uint64_t end)
{
        _cleanup_(store_change_freep) StoreChange *list = NULL;
        Incomplete *i, *next;

        TAILQ_FOREACH_SAFE (i, &m->incomplete, entry, next) {
                if (!is_of(i, pool_uuid, volume) || i->start < start || i->end > end)
                        continue;
                if (remove_file(m, &list, i->id) >= 0)
                        mark_unlink(m, i);
        }
        if (!list)
                return;
        announce(m, pool_uuid, volume);
        (void) store_apply(m->store, TAKE_PTR(list), NULL, NULL);
}

bool incomplete_is_marked(const Volume *v)
{
        Incomplete *i;

        TAILQ_FOREACH (i, &v->pool->manager->incomplete, entry) {
                if (is_of(i, v->pool->def->uuid, v->row.name))
                        return true;
        }
        return false;
}

int incomplete_describe(const Volume *v, char **ret)
{
        Incomplete *i;

        *ret = NULL;
        TAILQ_FOREACH (i, &v->pool->manager->incomplete, entry) {
                if (!is_of(i, v->pool->def->uuid, v->row.name))
                        continue;
                return asprintf(ret,
                                i->end == 0 ? "unfinished: %s was cut off; the contents are as they were, "
                                              "but room in "
                                              "the image may be lost until its snapshots are changed again"
                                            : "incomplete: %s was cut off or failed, so that the contents "
                                              "are neither "
                                              "the old nor the new ones; do it again, or delete the volume",
                                i->operation) < 0
                               ? -ENOMEM
                               : 0;
        }
        return 0;
}

static int load_one(Manager *m, FILE *f, uint64_t id)
{
        char line[LINE_MAX_SIZE], volume[DEF_NAME_MAX + 1] = "", uuid[37] = "", operation[64] = "";
        uint64_t start = 0, end = UINT64_MAX;
        Incomplete *i;

        while (fgets(line, sizeof line, f)) {
                (void) sscanf(line, "pool=%36s", uuid);
                (void) sscanf(line, "volume=%255[^\n]", volume);
                (void) sscanf(line, "operation=%63s", operation);
                (void) sscanf(line, "start=%" SCNu64, &start);
                (void) sscanf(line, "end=%" SCNu64, &end);
        }
        return volume[0] && uuid[0] ? add(m, id, uuid, volume, operation, start, end, &i) : -EINVAL;
}

int incomplete_load(Manager *m)
{
        _cleanup_free_ char *folder = store_path(m, STORE_INCOMPLETE, "");
        struct dirent *entry;
        DIR *dir;
        int r = 0;

        dir = folder ? opendir(folder) : NULL;
        if (!dir)
                return -errno;
        while (r >= 0 && (entry = readdir(dir))) {
                _cleanup_free_ char *path = store_path(m, STORE_INCOMPLETE, entry->d_name);
                _cleanup_fclose_ FILE *f = NULL;

                if (entry->d_name[0] == '.' || !path || !(f = fopen(path, "re")))
                        continue;
                r = load_one(m, f, strtoull(entry->d_name, NULL, 10));
                if (r == -EINVAL) {
                        log_warning("Skipped %s: it does not say which volume it is about", path);
                        r = 0;
                }
        }
        (void) closedir(dir);
        return r;
}

void incomplete_free_all(Manager *m)
{
        Incomplete *i;

        while ((i = TAILQ_FIRST(&m->incomplete)))
                mark_unlink(m, i);
}
