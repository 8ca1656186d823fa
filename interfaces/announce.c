/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Changes as signals. A signal that cannot be sent is reported, nothing else: the state is right all the
 * same. */

#include "common/log.h"
#include "interfaces/paths.h"
#include "interfaces/pool-parts.h"
#include "interfaces/reply.h"
#include "interfaces/volume-snapshots.h"
#include "interfaces/volumes-node.h"
#include "service/job.h"
#include "service/volume-snapshot.h"

#define NAMES_MAX 24U

typedef struct Names {
        unsigned change;
        const char *names[8];
} Names;

static const Names pool_names[] = {
        {POOL_CHANGE_STATE, {"State"}},
        {POOL_CHANGE_HEALTH, {"Health", "Problems"}},
        {POOL_CHANGE_SIZES, {"Capacity", "Allocation", "Available"}},
        {POOL_CHANGE_CONTENTS, {"Generation", "VolumeCount"}},
        {POOL_CHANGE_REFRESH, {"LastRefresh"}},
        {POOL_CHANGE_DEFINITION,
         {"Definition", "TargetPath", "SourceFormat", "UpdatePending", "Persistent"}},
        {POOL_CHANGE_AUTOSTART, {"Autostart"}},
};

static const Names volume_names[] = {
        {VOLUME_SIZES, {"Capacity", "Allocation", "Physical"}},
        {VOLUME_TIMES, {"Modified"}},
        {VOLUME_ACCESS, {"Mode", "Owner", "Group"}},
        {VOLUME_CONTENT, {"Format", "FormatProbed", "Encryption", "Problem", "Key", "Path", "Type"}},
        {VOLUME_BACKING, {"BackingPath", "BackingFormat", "Backing"}},
        {VOLUME_USE, {"InUse"}},
        {VOLUME_DEPENDENTS, {"Dependents"}},
};

static const Names job_names[] = {
        {JOB_CHANGE_STATE, {"State"}},
        {JOB_CHANGE_PROGRESS,
         {"Progress", "ProgressValid", "BytesDone", "BytesTotal", "Rate", "ExpectedEndTime"}},
        {JOB_CHANGE_END, {"Result", "ErrorName", "ErrorMessage"}},
};

static void report(int r, const char *what)
{
        if (r < 0 && r != -ENOTCONN)
                log_warning("Cannot announce %s: %s", what, strerrordesc_np(-r));
}

static void emit_changed(Bus *b, const char *path, const char *interface, const Names *table, size_t n,
                         unsigned changes)
{
        const char *names[NAMES_MAX + 1];
        size_t k = 0;

        for (size_t i = 0; i < n; i++) {
                for (size_t j = 0; (changes & table[i].change) && table[i].names[j] && k < NAMES_MAX; j++)
                        names[k++] = table[i].names[j];
        }
        names[k] = NULL;
        if (k > 0)
                report(sd_bus_emit_properties_changed_strv(b->bus, path, interface, (char **) names), path);
}

/* The names of all interfaces that the pool has, NULL-terminated, into a list with room for them. */
#define POOL_INTERFACES_MAX 8U

static void pool_interfaces(const Pool *pool, const char *ret[POOL_INTERFACES_MAX])
{
        size_t n = 0;

        ret[n++] = POOL_INTERFACE;
        for (const PoolPart *part = pool_parts; part->interface && n + 1 < POOL_INTERFACES_MAX; part++) {
                if (part->has(pool))
                        ret[n++] = part->interface;
        }
        ret[n] = NULL;
}

static void pool_added(Pool *pool)
{
        const char *interfaces[POOL_INTERFACES_MAX];
        _cleanup_free_ char *path = path_of_pool(pool);
        Bus *b = bus_of(pool->manager);
        int r;

        pool_interfaces(pool, interfaces);
        r = path ? volumes_node_add(b, pool) : -ENOMEM;
        if (r >= 0)
                r = sd_bus_emit_interfaces_added_strv(b->bus, path, (char **) interfaces);
        report(r, pool->def->name);
}

static void pool_removed(Pool *pool)
{
        const char *interfaces[POOL_INTERFACES_MAX];
        _cleanup_free_ char *path = path_of_pool(pool);
        Bus *b = bus_of(pool->manager);

        volumes_node_remove(b, pool);
        pool_interfaces(pool, interfaces);
        report(path ? sd_bus_emit_interfaces_removed_strv(b->bus, path, (char **) interfaces) : -ENOMEM,
               pool->def->name);
}

static void pool_changes(Pool *pool, unsigned changes)
{
        _cleanup_free_ char *path = path_of_pool(pool);
        Bus *b = bus_of(pool->manager);

        if (!path)
                return;
        emit_changed(b, path, POOL_INTERFACE, pool_names, ELEMENTSOF(pool_names), changes);
        for (const PoolPart *part = pool_parts; part->interface; part++) {
                bool comes_or_goes = part->change == POOL_CHANGE_RAID && changes & POOL_CHANGE_ARRAY;

                if (comes_or_goes && part->has(pool))
                        report(sd_bus_emit_interfaces_added(b->bus, path, part->interface, NULL), path);
                else if (comes_or_goes)
                        report(sd_bus_emit_interfaces_removed(b->bus, path, part->interface, NULL), path);
                else if (changes & part->change && part->has(pool))
                        report(sd_bus_emit_properties_changed_strv(b->bus, path, part->interface,
                                                                   (char **) part->properties),
                               path);
        }
}

static void emit_generation(Pool *pool, const char *signal)
{
        _cleanup_free_ char *path = path_of_pool(pool);

        report(path ? sd_bus_emit_signal(bus_of(pool->manager)->bus, path, POOL_INTERFACE, signal, "t",
                                         pool->generation)
                    : -ENOMEM,
               signal);
}

static void refreshed(Pool *pool)
{
        emit_generation(pool, "Refreshed");
}

static void volumes_reset(Pool *pool)
{
        emit_generation(pool, "VolumesReset");
}

/* NULL: it has none. */
static const char *snapshots_interface(const Volume *v)
{
        return volume_snapshot_kind(v) != SNAPSHOTS_NONE ? SNAPSHOTS_INTERFACE : NULL;
}

static void volume_added(Volume *v)
{
        _cleanup_free_ char *path = path_of_volume(v->pool, v->row.name);
        Bus *b = bus_of(v->pool->manager);

        report(path ? sd_bus_emit_interfaces_added(b->bus, path, VOLUME_INTERFACE, snapshots_interface(v),
                                                   NULL)
                    : -ENOMEM,
               v->row.name);
}

static void volume_changes(Volume *v, unsigned changes)
{
        _cleanup_free_ char *path = path_of_volume(v->pool, v->row.name);
        const char *snapshots = snapshots_interface(v);
        Bus *b = bus_of(v->pool->manager);

        if (!path)
                return;
        emit_changed(b, path, VOLUME_INTERFACE, volume_names, ELEMENTSOF(volume_names), changes);
        if (changes & VOLUME_SNAPSHOT_KIND)
                report(snapshots ? sd_bus_emit_interfaces_added(b->bus, path, snapshots, NULL)
                                 : sd_bus_emit_interfaces_removed(b->bus, path, SNAPSHOTS_INTERFACE, NULL),
                       path);
        else if (changes & VOLUME_SNAPSHOTS && snapshots)
                report(sd_bus_emit_properties_changed(b->bus, path, snapshots, "Snapshots", NULL), path);
}

static void volume_removed(Pool *pool, const RemovedVolume *removed)
{
        _cleanup_free_ char *path = path_of_volume(pool, removed->name);
        const char *snapshots = removed->had_snapshots ? SNAPSHOTS_INTERFACE : NULL;
        Bus *b = bus_of(pool->manager);

        report(path ? sd_bus_emit_interfaces_removed(b->bus, path, VOLUME_INTERFACE, snapshots, NULL)
                    : -ENOMEM,
               removed->name);
}

static void job_added(Job *job)
{
        _cleanup_free_ char *path = path_of_job(job);

        report(path ? sd_bus_emit_interfaces_added(bus_of(job->manager)->bus, path, JOB_INTERFACE, NULL)
                    : -ENOMEM,
               job->operation);
}

static void job_changes(Job *job, unsigned changes)
{
        _cleanup_free_ char *path = path_of_job(job);

        if (path)
                emit_changed(bus_of(job->manager), path, JOB_INTERFACE, job_names, ELEMENTSOF(job_names),
                             changes);
}

static void job_completed(Job *job)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = path_of_job(job);
        Bus *b = bus_of(job->manager);
        int r;

        r = path ? sd_bus_message_new_signal(b->bus, &m, path, JOB_INTERFACE, "Completed") : -ENOMEM;
        if (r >= 0)
                r = sd_bus_message_append(m, "bss", (int) (job->state == JOB_SUCCEEDED),
                                          strempty(job->error.name), strempty(job->error.message));
        if (r >= 0)
                r = job_append_result(job, m);
        if (r >= 0)
                r = sd_bus_send(b->bus, m, NULL);
        report(r, job->operation);
}

static void job_removed(Job *job)
{
        _cleanup_free_ char *path = path_of_job(job);

        report(path ? sd_bus_emit_interfaces_removed(bus_of(job->manager)->bus, path, JOB_INTERFACE, NULL)
                    : -ENOMEM,
               job->operation);
}

static void pool_ready(Pool *pool)
{
        hold_release(bus_of(pool->manager), pool);
}

static void moving(Manager *m, bool any)
{
        Inhibitor *i = bus_of(m)->inhibitor;

        if (i)
                inhibitor_set(i, any);
}

static uint64_t backlog(Manager *m)
{
        uint64_t n = 0;

        (void) sd_bus_get_n_queued_write(bus_of(m)->bus, &n);
        return n;
}

const AnnounceHooks bus_announce_hooks = {
        .pool_added = pool_added,
        .pool_removed = pool_removed,
        .pool_changed = pool_changes,
        .refreshed = refreshed,
        .volumes_reset = volumes_reset,
        .volume_added = volume_added,
        .volume_changed = volume_changes,
        .volume_removed = volume_removed,
        .job_added = job_added,
        .job_changed = job_changes,
        .job_completed = job_completed,
        .job_removed = job_removed,
        .pool_ready = pool_ready,
        .moving = moving,
        .backlog = backlog,
};
