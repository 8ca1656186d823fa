/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the worker of a pool does with the pool's volumes: see worker-protocol.h. */

#include "backends/in-use.h"
#include "backends/worker-pool.h"

/*
 * What we did ourselves is not news. That it cannot be noted only makes it news; and a complete listing that
 * is yet to come must have it.
 */
static void note(PoolWorker *w, const char *name, const VolumeRow *row)
{
        if (w->scan && w->listed)
                (void) w->backend->scan_note(w->scan, name, row);
}

/* Consumes the row. */
static int reply_row(PoolWorker *w, sd_bus_message *m, VolumeRow *row)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        int r;

        note(w, row->name, row);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = volume_row_append(row, reply);
        volume_row_done(row);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int append_created(sd_bus_message *m, const CreateResult *c)
{
        int r;

        r = sd_bus_message_append(m, "s", strempty(c->token));
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "h");
        if (r >= 0 && c->fd >= 0)
                r = sd_bus_message_append(m, "h", c->fd);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', VOLUME_ROW_SIGNATURE);
        if (r >= 0 && c->row.name)
                r = volume_row_append(&c->row, m);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_append(m, "b", (int) c->zero);
}

int pool_worker_create_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        _cleanup_(create_result_done) CreateResult created = {.fd = -EBADF};
        _cleanup_(volume_def_freep) VolumeDef *def = NULL;
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        int r, reserve = false;
        const char *xml, *preallocation = "", *token = "";
        const WorkerOption options[] = {
                {"preallocation", "s", &preallocation},
                {"reserve", "b", &reserve},
                {"token", "s", &token},
                {"secret", "s", &ctx.secret},
        };
        Preallocation p;

        r = sd_bus_message_read(m, "s", &xml);
        if (r >= 0)
                r = worker_read_options(m, options, ELEMENTSOF(options));
        if (r >= 0)
                r = pool_worker_need(w,
                                     w->backend && (reserve ? w->backend->volume_reserve != NULL
                                                            : w->backend->volume_create != NULL),
                                     "have volumes made in them", error);
        if (r >= 0)
                r = worker_parse_preallocation(preallocation, &p, error);
        if (r >= 0)
                r = volume_def_parse_xml(xml, strlen(xml), w->def->type, &def, error);
        if (r < 0)
                return r;
        r = reserve ? w->backend->volume_reserve(&ctx, def, token, &created)
                    : w->backend->volume_create(&ctx, def, p, &created);
        if (r < 0)
                return r;
        if (created.row.name)
                note(w, created.row.name, &created.row);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r < 0)
                return r;
        r = append_created(reply, &created);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int pool_worker_publish_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        VolumeRow row = {0};
        const char *token;
        int r;

        r = pool_worker_need(w, w->backend && w->backend->volume_publish, "have volumes made in them",
                             error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "s", &token);
        if (r < 0)
                return r;
        r = w->backend->volume_publish(&ctx, token, &row);
        return r < 0 ? r : reply_row(w, m, &row);
}

int pool_worker_discard_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        const char *token;
        int r;

        r = pool_worker_need(w, w->backend && w->backend->volume_discard, "have volumes made in them",
                             error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "s", &token);
        if (r < 0)
                return r;
        r = w->backend->volume_discard(&ctx, token);
        /* What the volume failed of may be the pool's trouble. */
        if (w->watched)
                pool_worker_look(w);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

int pool_worker_delete_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        int r, force = false, durable = false;
        const WorkerOption options[] = {
                {"force", "b", &force}, {"durable", "b", &durable}, {"start", "t", &ctx.start}};
        const char *name;

        r = pool_worker_need(w, w->backend && w->backend->volume_delete, "have volumes deleted from them",
                             error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        r = worker_read_options(m, options, ELEMENTSOF(options));
        if (r < 0)
                return r;
        ctx.durable = durable;
        r = w->backend->volume_delete(&ctx, name, force);
        if (r < 0)
                return r;
        note(w, name, NULL);
        return sd_bus_reply_method_return(m, NULL);
}

int pool_worker_resize_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        int r, shrink = false, allocate = false, force = false;
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        uint64_t capacity, from = UINT64_MAX;
        const WorkerOption options[] = {{"shrink", "b", &shrink},
                                        {"allocate", "b", &allocate},
                                        {"force", "b", &force},
                                        {"from", "t", &from},
                                        {"start", "t", &ctx.start},
                                        {"secret", "s", &ctx.secret}};
        VolumeRow row = {0};
        ResizeOptions resize;
        const char *name;

        r = pool_worker_need(w, w->backend && w->backend->volume_resize, "have their volumes resized",
                             error);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "st", &name, &capacity);
        if (r < 0)
                return r;
        r = worker_read_options(m, options, ELEMENTSOF(options));
        if (r < 0)
                return r;
        resize = (ResizeOptions){.shrink = shrink, .allocate = allocate, .force = force, .from = from};
        r = w->backend->volume_resize(&ctx, name, capacity, &resize, &row);
        return r < 0 ? r : reply_row(w, m, &row);
}

static const char *const open_modes[_OPEN_MODE_MAX] = {
        [OPEN_READ] = "r",
        [OPEN_WRITE] = "rw",
        [OPEN_TO_COPY] = "read",
        [OPEN_TO_CHANGE] = "write",
        [OPEN_TO_CHANGE_ALONE] = "write-alone",
};

/* _OPEN_MODE_MAX: no such */
static OpenMode open_mode_from_string(const char *s)
{
        OpenMode mode = 0;

        while (mode < _OPEN_MODE_MAX && !streq(open_modes[mode], s))
                mode++;
        return mode;
}

int pool_worker_open_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_close_ int fd = -EBADF;
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        const char *name, *mode_name;
        int r, force = false;
        const WorkerOption options[] = {{"force", "b", &force}, {"start", "t", &ctx.start}};

        r = pool_worker_need(w, w->backend && w->backend->volume_open, "have their volumes opened", error);
        if (r >= 0)
                r = sd_bus_message_read(m, "ss", &name, &mode_name);
        if (r >= 0)
                r = worker_read_options(m, options, ELEMENTSOF(options));
        if (r >= 0 && open_mode_from_string(mode_name) == _OPEN_MODE_MAX)
                r = error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                               "'%.16s' is no mode to open a volume with: r, rw, read, write and write-alone are",
                               mode_name);
        if (r >= 0)
                r = w->backend->volume_open(&ctx, name, open_mode_from_string(mode_name), force, &fd);
        return r < 0 ? r : sd_bus_reply_method_return(m, "h", fd);
}

static int append_user(sd_bus_message *m, const User *u)
{
        int r;

        r = sd_bus_message_open_container(m, 'r', "sua{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "su", u->name, (uint32_t) u->pid);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}", "how", "s", user_how_to_string(u->how), "mode", "s",
                                          u->write ? "rw" : "r");
        if (r >= 0 && u->pid > 0)
                r = sd_bus_message_append(m, "{sv}", "uid", "u", (uint32_t) u->uid);
        if (r >= 0 && u->exe)
                r = sd_bus_message_append(m, "{sv}", "exe", "s", u->exe);
        if (r >= 0 && u->part)
                r = sd_bus_message_append(m, "{sv}", "part", "s", u->part);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int reply_users(sd_bus_message *m, const UserList *l)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sua{sv})");
        for (size_t i = 0; r >= 0 && i < l->n; i++)
                r = append_user(reply, &l->items[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int pool_worker_list_users(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_close_ int fd = -EBADF;
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        UserList users = {0};
        const char *name;
        int r;

        r = pool_worker_need(w, w->backend && w->backend->volume_open, "have their volumes opened", error);
        if (r >= 0)
                r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
                r = w->backend->volume_open(&ctx, name, OPEN_READ, false, &fd);
        if (r < 0)
                return r;
        r = user_list_find(fd, &users);
        r = r < 0 ? error_set_errno(error, r, "Cannot find out who uses volume '%s'", name)
                  : reply_users(m, &users);
        user_list_done(&users);
        return r;
}

int pool_worker_look_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        PoolWorker *w = userdata;
        BackendContext ctx = pool_worker_context(w, error);
        VolumeRow row = {0};
        const char *name;
        int r;

        r = pool_worker_need(w, w->backend && w->backend->volume_look, "have their volumes looked at",
                             error);
        if (r >= 0)
                r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
                r = w->backend->volume_look(&ctx, name, &row);
        return r < 0 ? r : reply_row(w, m, &row);
}
