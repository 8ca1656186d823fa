/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/manager.h"
#include "common/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>

#include "service/incomplete.h"
#include "service/pool-worker.h"
#include "service/store.h"
#include "service/unfinished.h"
#include "service/volume-secret.h"

/* With this many messages waiting to be written, signals wait too. */
#define BACKLOG_MAX 256U
#define BACKLOG_RETRY_USEC (5 * USEC_PER_MSEC)
/* Changes of a pool's own properties are collected for this long. */
#define ANNOUNCE_DELAY_USEC (2 * USEC_PER_MSEC)

#define LOCK_TRIES 200U
#define LOCK_RETRY_USEC 25000U

/* What a store worker that was killed has left half-written: its names begin with ".#" and sixteen digits.
 */
static void remove_leftovers(const char *folder)
{
        struct dirent *entry;
        DIR *dir = opendir(folder);

        while (dir && (entry = readdir(dir))) {
                const char *digits = startswith(entry->d_name, ".#");

                if (digits && strlen(digits) == 16 && strspn(digits, "0123456789abcdef") == 16)
                        (void) unlinkat(dirfd(dir), entry->d_name, 0);
        }
        if (dir)
                (void) closedir(dir);
}

static int make_folder(const char *parent, const char *child, mode_t mode)
{
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s%s%s", parent, child ? "/" : "", strempty(child)) < 0)
                return -ENOMEM;
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = 0;
                (void) mkdir(path, 0755);
                *slash = '/';
        }
        if (mkdir(path, mode) >= 0)
                return 0;
        if (errno != EEXIST)
                return -errno;
        if (child)
                remove_leftovers(path);
        return 0;
}

/* One daemon a state: a second one would undo what the first believes. */
static int lock_state(Manager *m)
{
        _cleanup_free_ char *path = NULL;
        int r;

        r = make_folder(m->options.runtime_dir, NULL, 0755);
        if (r < 0)
                return r;
        if (asprintf(&path, "%s/lock", m->options.runtime_dir) < 0)
                return -ENOMEM;
        m->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (m->lock_fd < 0)
                return -errno;
        /* An earlier one that is just ending after its last call is waited for: this is the start, nobody is
         * served yet. */
        for (unsigned i = 0; i < LOCK_TRIES && flock(m->lock_fd, LOCK_EX | LOCK_NB) < 0; i++)
                (void) usleep(LOCK_RETRY_USEC);
        if (flock(m->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                log_error("Another storaged uses %s", m->options.runtime_dir);
                return -EBUSY;
        }
        return 0;
}

static int make_folders(Manager *m)
{
        int r;

        r = make_folder(m->options.config_dir, "pools", 0755);
        if (r >= 0)
                r = make_folder(m->options.config_dir, "autostart", 0755);
        if (r >= 0)
                r = make_folder(m->options.state_dir, "intents", 0700);
        if (r >= 0)
                r = make_folder(m->options.state_dir, "incomplete", 0700);
        if (r >= 0)
                r = make_folder(m->options.config_dir, "secrets", 0700);
        if (r >= 0)
                r = make_folder(m->options.state_dir, "volume-secrets", 0700);
        if (r >= 0)
                r = make_folder(m->options.runtime_dir, "active", 0755);
        if (r >= 0)
                r = make_folder(m->options.runtime_dir, "autostarted", 0755);
        return r;
}

int manager_new(sd_event *event, ManagerOptions *options, Manager **ret)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(manager_freep) Manager *m = NULL;
        sd_id128_t id;
        int r;

        m = calloc(1, sizeof *m);
        if (!m)
                return -ENOMEM;
        m->event = sd_event_ref(event);
        m->options = *options;
        *options = (ManagerOptions){};
        m->lock_fd = -EBADF;
        TAILQ_INIT(&m->pools);
        TAILQ_INIT(&m->jobs);
        TAILQ_INIT(&m->kept);
        TAILQ_INIT(&m->data_queue.users);
        TAILQ_INIT(&m->client_queue.users);
        RB_INIT(&m->incomplete);
        TAILQ_INIT(&m->secrets);
        RB_INIT(&m->volume_secrets);
        TAILQ_INIT(&m->unfinished);
        RB_INIT(&m->overlays);
        RB_INIT(&m->needs);
        RB_INIT(&m->odd_volumes);
        r = sd_id128_randomize(&id);
        if (r < 0)
                return r;
        (void) sd_id128_to_string(id, m->instance_id);
        /* Job paths are unique per boot: a new daemon begins where no earlier one of this boot has been. */
        m->last_job = now_monotonic() / USEC_PER_MSEC * 16;
        r = lock_state(m);
        if (r >= 0)
                r = make_folders(m);
        if (r >= 0)
                r = store_new(m, &m->store, &error);
        if (sd_bus_error_is_set(&error))
                log_error("%s", error.message);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

void manager_interrupt(Manager *m)
{
        Pool *pool, *next;

        TAILQ_FOREACH_SAFE (pool, &m->pools, entry, next) {
                pool_worker_end(pool);
        }
}

Manager *manager_free(Manager *m)
{
        Pool *pool, *next;
        Job *job;

        if (!m)
                return NULL;
        m->check_idle = NULL;
        manager_interrupt(m);
        while ((job = TAILQ_FIRST(&m->jobs)))
                job_forget(job);
        /* The bus layer has references of its own: what belongs to the manager goes now. Nothing is
         * announced: the pools are still there, the service is not. */
        TAILQ_FOREACH_SAFE (pool, &m->pools, entry, next) {
                pool->announced = false;
                pool_remove(pool);
        }
        incomplete_free_all(m);
        volume_secrets_free_all(m);
        secrets_free_all(m);
        unfinished_free_all(m);
        store_free(m->store);
        sd_event_source_disable_unref(m->announce);
        for (size_t i = 0; i < _POOL_TYPE_MAX; i++) {
                strv_free(m->abilities[i].operations);
                strv_free(m->abilities[i].missing_tools);
        }
        strv_free(m->unreadable);
        free(m->options.config_dir);
        free(m->options.state_dir);
        free(m->options.runtime_dir);
        free(m->options.worker_path);
        safe_close(m->lock_fd);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

Pool *manager_find_by_name(Manager *m, const char *name)
{
        Pool *pool;

        TAILQ_FOREACH (pool, &m->pools, entry) {
                if (streq(pool->def->name, name))
                        return pool;
        }
        return NULL;
}

Pool *manager_find_by_uuid(Manager *m, const char *uuid)
{
        Pool *pool;

        TAILQ_FOREACH (pool, &m->pools, entry) {
                if (streq(pool->def->uuid, uuid))
                        return pool;
        }
        return NULL;
}

Pool *manager_find_by_object_id(Manager *m, const char *id)
{
        Pool *pool;

        TAILQ_FOREACH (pool, &m->pools, entry) {
                if (streq(pool->object_id, id))
                        return pool;
        }
        return NULL;
}

Pool *manager_find_by_target(Manager *m, const char *path)
{
        Pool *pool;

        TAILQ_FOREACH (pool, &m->pools, entry) {
                if (pool->announced && streq_ptr(pool->def->target_path, path))
                        return pool;
        }
        return NULL;
}

static void announce_again(Manager *m, uint64_t delay)
{
        (void) sd_event_source_set_time_relative(m->announce, delay);
        (void) sd_event_source_set_enabled(m->announce, SD_EVENT_ONESHOT);
}

static int on_announce(sd_event_source *s, uint64_t usec, void *userdata)
{
        Manager *m = userdata;
        uint64_t wait = UINT64_MAX, delay;
        Pool *pool, *next;

        if (m->hooks->backlog(m) > BACKLOG_MAX) {
                announce_again(m, BACKLOG_RETRY_USEC);
                return 0;
        }
        TAILQ_FOREACH_SAFE (pool, &m->pools, entry, next) {
                if ((pool->n_dirty == 0 && pool->changes == 0 && !pool->reset_needed) || !pool->announced)
                        continue;
                if (pool_announce_slice(pool, &delay) && delay < wait)
                        wait = delay;
        }
        if (wait != UINT64_MAX)
                announce_again(m, wait);
        return 0;
}

void manager_schedule_announce(Manager *m)
{
        uint64_t at = now_monotonic() + ANNOUNCE_DELAY_USEC, due = UINT64_MAX;
        int enabled = SD_EVENT_OFF;

        if (!m->announce) {
                if (sd_event_add_time_relative(m->event, &m->announce, CLOCK_MONOTONIC, ANNOUNCE_DELAY_USEC,
                                               1, on_announce, m) >= 0)
                        (void) sd_event_source_set_priority(m->announce, SD_EVENT_PRIORITY_NORMAL + 10);
                return;
        }
        (void) sd_event_source_get_enabled(m->announce, &enabled);
        (void) sd_event_source_get_time(m->announce, &due);
        if (enabled == SD_EVENT_OFF || due > at)
                announce_again(m, ANNOUNCE_DELAY_USEC);
}

bool manager_is_idle(const Manager *m)
{
        Pool *pool;

        if (m->n_running > 0 || !store_is_idle(m->store))
                return false;
        TAILQ_FOREACH (pool, &m->pools, entry) {
                if (pool->state != POOL_INACTIVE || pool->retry || pool->adopting)
                        return false;
        }
        return true;
}
