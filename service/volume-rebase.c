/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-rebase.h"

#include "service/data-job.h"
#include "service/volume-graph.h"
#include "service/volume-in-place.h"
#include "service/volume-secret.h"

/* What the data worker is told besides descriptors. */
typedef struct Rebase {
        char *format;                /* of the image */
        char *path, *backing_format; /* to record; "": nothing */
        char *secret;                /* of the image: its file; NULL: it is not encrypted */
        size_t n_old; /* of the members: what the image is built on now; the rest is what it will be */
} Rebase;

static void rebase_free(void *p)
{
        Rebase *b = p;

        if (!b)
                return;
        free(b->format);
        free(b->path);
        free(b->backing_format);
        free(b->secret);
        free(b);
}

static int refuse(const Volume *v, const char *name, const char *why, sd_bus_error *error)
{
        return error_setf(error, name, "What volume '%s' of pool '%s' is built on cannot be changed: %s",
                          v->row.name, v->pool->def->name, why);
}

static int require_overlay_format(const Volume *v, sd_bus_error *error)
{
        if (v->row.type == VOLUME_FILE && (streq(v->row.format, "qcow2") || streq(v->row.format, "qed")))
                return 0;
        return refuse(v, STORAGE_ERROR_UNSUPPORTED,
                      "only images of the formats qcow2 and qed can have that changed", error);
}

static bool has_backing(const Volume *v)
{
        return v->row.extra && v->row.extra->backing_path;
}

static int new_rebase(const Volume *v, const Volume *backing, Rebase **ret, sd_bus_error *error)
{
        Rebase *b = calloc(1, sizeof *b);
        int r;

        if (!b)
                return -ENOMEM;
        b->format = strdup(v->row.format);
        b->path = backing ? volume_path(backing) : strdup("");
        b->backing_format = strdup(backing ? volume_image_format(backing) : "");
        r = b->format && b->path && b->backing_format
                    ? volume_chain_find_secret(v, b->format, &b->secret, error)
                    : -ENOMEM;
        if (r < 0) {
                rebase_free(b);
                return r;
        }
        *ret = b;
        return 0;
}

/* What is encrypted is not written to one that is not. */
static int require_as_closed(const Volume *v, const Rebase *b, const VolumeChain *c, sd_bus_error *error)
{
        for (size_t i = 0; !b->secret && i < b->n_old; i++) {
                if (c->members[i].secret)
                        return refuse(
                                v, STORAGE_ERROR_UNSUPPORTED,
                                "it is not encrypted, and would get what is encrypted now; clone it instead",
                                error);
        }
        return 0;
}

/* The image itself, from the descriptor of the job's volume, then what it is built on. */
static int append_image(Job *job, const Rebase *b, const VolumeChain *c, sd_bus_message *m)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "(shs)");
        if (r >= 0)
                r = sd_bus_message_append(m, "(shs)", b->format, data_job_fd(job, 0), strempty(b->secret));
        for (size_t i = 0; r >= 0 && i < b->n_old; i++)
                r = sd_bus_message_append(m, "(shs)", c->members[i].format, data_job_fd(job, i + 1),
                                          strempty(c->members[i].secret));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int fill_rebase(Job *job, sd_bus_message *m, void *argument)
{
        const VolumeChain *c = job->data;
        Rebase *b = argument;
        int r;

        r = append_image(job, b, c, m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", b->path, b->backing_format);
        return r < 0 ? r : volume_chain_append(job, c, b->n_old, c->n, b->n_old + 1, m);
}

static int fill_set_backing(Job *job, sd_bus_message *m, void *argument)
{
        Rebase *b = argument;
        int r;

        r = sd_bus_message_append(m, "sss", b->format, b->path, b->backing_format);
        return r < 0 ? r : volume_secret_append(m, b->secret);
}

static int add_new_backing(VolumeChain *c, const Volume *backing, sd_bus_error *error)
{
        const char *format = volume_image_format(backing);
        int r = incomplete_require_whole(backing, "built on", error);

        if (r >= 0)
                r = volume_chain_add(c, backing, format, false, error);
        return r < 0 ? r : volume_chain_find_secret(backing, format, &c->members[c->n - 1].secret, error);
}

/* v itself is the image in which all is written; all else is only read. */
static int begin_rebase(Volume *v, Volume *backing, const char *operation, uid_t uid, Job **ret,
                        sd_bus_error *error)
{
        VolumeChain chain = {};
        VolumeLocks locks = {};
        Rebase *b = NULL;
        int r;

        r = new_rebase(v, backing, &b, error);
        if (r >= 0)
                r = volume_chain_add_backing(&chain, v, v->row.format, error);
        if (r >= 0) {
                b->n_old = chain.n;
                r = require_as_closed(v, b, &chain, error);
        }
        if (r >= 0 && backing)
                r = add_new_backing(&chain, backing, error);
        if (r >= 0 && backing)
                r = volume_chain_add_backing(&chain, backing, volume_image_format(backing), error);
        if (r >= 0 && backing)
                r = volume_locks_add(&locks, backing->pool, backing->row.name, true);
        if (r >= 0 && backing)
                r = volume_locks_add_chain(&locks, backing);
        if (r < 0) {
                rebase_free(b);
                volume_chain_done(&chain);
                volume_locks_done(&locks);
                return r;
        }
        return volume_in_place(v,
                               &(InPlace){.operation = operation,
                                          .said = "changed",
                                          .verb = "Rebase",
                                          .write = true,
                                          .alone = true,
                                          .replace = true,
                                          .others = &chain,
                                          .fill = fill_rebase,
                                          .argument = b,
                                          .free_argument = rebase_free},
                               &locks, uid, ret, error);
}

static int nothing_to_do(Volume *v, const char *operation, uid_t uid, Job **ret, sd_bus_error *error)
{
        VolumeLocks locks = {};
        int r;

        r = volume_locks_add(&locks, v->pool, v->row.name, true);
        if (r >= 0)
                r = volume_job_begin(v->pool, operation, v->row.name, "changed", &locks, uid, ret, error);
        else
                volume_locks_done(&locks);
        if (r < 0)
                return r;
        job_finish(*ret, NULL);
        return 0;
}

int volume_flatten(Volume *v, uid_t uid, Job **ret, sd_bus_error *error)
{
        int r = require_overlay_format(v, error);

        if (r < 0)
                return r;
        return has_backing(v) ? begin_rebase(v, NULL, "flatten-volume", uid, ret, error)
                              : nothing_to_do(v, "flatten-volume", uid, ret, error);
}

/* Whether v is built on other, near or far. */
static bool is_built_on(const Volume *v, const Volume *other)
{
        for (unsigned i = 0; v && v != other && i < CHAIN_MAX; i++)
                v = volume_backing(v);
        return v == other;
}

static int set_backing(Volume *v, Volume *backing, uid_t uid, Job **ret, sd_bus_error *error)
{
        VolumeLocks locks = {};
        Rebase *b = NULL;
        int r;

        r = new_rebase(v, backing, &b, error);
        if (r >= 0)
                r = volume_locks_add(&locks, backing->pool, backing->row.name, true);
        if (r < 0) {
                rebase_free(b);
                volume_locks_done(&locks);
                return r;
        }
        /* Its own contents stay as they are. */
        return volume_in_place(v,
                               &(InPlace){.operation = "rebase-volume",
                                          .said = "changed",
                                          .verb = "SetBacking",
                                          .write = true,
                                          .alone = true,
                                          .mends = MENDS_SAME,
                                          .fill = fill_set_backing,
                                          .argument = b,
                                          .free_argument = rebase_free},
                               &locks, uid, ret, error);
}

int volume_rebase(Volume *v, Volume *backing, bool unsafe, uid_t uid, Job **ret, sd_bus_error *error)
{
        int r = require_overlay_format(v, error);

        if (r < 0)
                return r;
        if (backing->row.type == VOLUME_DIR)
                return refuse(v, STORAGE_ERROR_INVALID_ARGUMENT, "nothing can be built on a folder", error);
        if (streq(v->row.format, "qed") && !streq(volume_image_format(backing), "raw"))
                return refuse(v, STORAGE_ERROR_UNSUPPORTED,
                              "a qed image has no room to record the format of another one than raw", error);
        if (is_built_on(backing, v))
                return refuse(
                        v, STORAGE_ERROR_INVALID_ARGUMENT,
                        backing == v
                                ? "it cannot be built on itself"
                                : "the new backing volume is built on this one, which would be a circle",
                        error);
        return unsafe ? set_backing(v, backing, uid, ret, error)
                      : begin_rebase(v, backing, "rebase-volume", uid, ret, error);
}

/* commit */

typedef struct Commit {
        char *format; /* of the backing volume */
        char *secret; /* of the volume: its file; NULL: it is not encrypted */
        char *from;   /* the overlay, for the mark */
} Commit;

static void commit_free(void *p)
{
        Commit *commit = p;

        free(commit->format);
        free(commit->secret);
        free(commit->from);
        free(commit);
}

static Commit *commit_new(const Volume *v)
{
        Commit *commit = calloc(1, sizeof *commit);

        if (!commit)
                return NULL;
        commit->format = strdup(v->row.extra->backing_format);
        commit->from = incomplete_source(v);
        if (commit->format && commit->from)
                return commit;
        commit_free(commit);
        return NULL;
}

static int fill_commit(Job *job, sd_bus_message *m, void *argument)
{
        const Commit *commit = argument;
        const VolumeChain *c = job->data;
        int r;

        /* The overlay, what it is built on, which is the job's volume, and what that is built on. */
        r = sd_bus_message_open_container(m, 'a', "(shs)");
        if (r >= 0)
                r = sd_bus_message_append(m, "(shs)(shs)", c->members[0].format, data_job_fd(job, 1),
                                          strempty(c->members[0].secret), commit->format,
                                          data_job_fd(job, 0), strempty(commit->secret));
        for (size_t i = 1; r >= 0 && i < c->n; i++)
                r = sd_bus_message_append(m, "(shs)", c->members[i].format, data_job_fd(job, i + 1),
                                          strempty(c->members[i].secret));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int find_secrets(const Volume *v, const Volume *backing, Commit *commit, VolumeChain *c,
                        sd_bus_error *error)
{
        int r;

        r = volume_chain_find_secret(v, v->row.format, &c->members[0].secret, error);
        if (r >= 0)
                r = volume_chain_find_secret(backing, commit->format, &commit->secret, error);
        if (r >= 0 && c->members[0].secret && !commit->secret)
                r = refuse(v, STORAGE_ERROR_UNSUPPORTED,
                           "it is encrypted, and what it is built on is not, and would get what is in it",
                           error);
        return r;
}

/* It writes only what the overlay has: whatever else left the backing volume incomplete is as it was. */
static int begin_commit(Volume *v, Volume *backing, uid_t uid, Job **ret, sd_bus_error *error)
{
        Commit *commit = commit_new(v);
        VolumeChain chain = {};
        VolumeLocks locks = {};
        int r;

        r = commit ? volume_chain_add(&chain, v, v->row.format, true, error) : -ENOMEM;
        if (r >= 0)
                r = find_secrets(v, backing, commit, &chain, error);
        if (r >= 0)
                r = volume_chain_add_backing(&chain, backing, commit->format, error);
        if (r >= 0)
                r = volume_locks_add(&locks, v->pool, v->row.name, false);
        if (r < 0) {
                if (commit)
                        commit_free(commit);
                volume_chain_done(&chain);
                volume_locks_done(&locks);
                return r;
        }
        return volume_in_place(backing,
                               &(InPlace){.operation = "commit-volume",
                                          .said = "changed",
                                          .verb = "Commit",
                                          .write = true,
                                          .alone = true,
                                          .end = UINT64_MAX,
                                          .mends = MENDS_SAME,
                                          .from = commit->from,
                                          .others = &chain,
                                          .fill = fill_commit,
                                          .argument = commit,
                                          .free_argument = commit_free},
                               &locks, uid, ret, error);
}

int volume_commit(Volume *v, uid_t uid, Job **ret, sd_bus_error *error)
{
        Volume *backing = volume_backing(v);
        int r;

        if (v->row.type != VOLUME_FILE || !has_backing(v) || volume_image_format(v)[0] == 'r')
                return refuse(v, STORAGE_ERROR_UNSUPPORTED, "it is no overlay, and has nothing to commit to",
                              error);
        if (!backing)
                return refuse(v, STORAGE_ERROR_UNSUPPORTED,
                              "its backing store is no volume of an active pool; define a pool over the "
                              "folder that it "
                              "is in",
                              error);
        if (!v->row.extra->backing_format)
                return refuse(v, STORAGE_ERROR_UNSUPPORTED,
                              "the format of its backing store is not recorded, and guessing it is "
                              "dangerous; rebase it",
                              error);
        r = volume_require_no_dependents(backing, v, "changed", error);
        return r < 0 ? r : begin_commit(v, backing, uid, ret, error);
}
