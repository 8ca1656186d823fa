/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/store.h"
#include "common/log.h"

#include "common/worker-protocol.h"

/* An fsync beside heavy writers has been seen to take seconds; a worker silent for longer is broken. */
#define STORE_TIMEOUT_USEC (60 * USEC_PER_SEC)
#define STORE_TRIES_MAX 3U

struct StoreChange {
        StoreChange *next;
        const char *op;
        char *path, *content;
        uint32_t mode;
};

typedef struct Request {
        TAILQ_ENTRY(Request) entry;
        const char *verb;
        StoreChange *changes;
        StoreDone done;
        void *userdata;
        unsigned tries;
} Request;

struct Store {
        Manager *manager;
        WorkerProcess *worker;
        TAILQ_HEAD(, Request) queue; /* the first one is under way */
};

static int start_worker(Store *store, sd_bus_error *error);
static void send_first(Store *store);

static bool is_secret(const StoreChange *c)
{
        return streq(c->op, "write-hex");
}

StoreChange *store_change_free(StoreChange *list)
{
        while (list) {
                StoreChange *next = list->next;

                if (is_secret(list))
                        explicit_bzero(list->content, strlen(strempty(list->content)));
                free(list->path);
                free(list->content);
                free(list);
                list = next;
        }
        return NULL;
}

char *store_path(const Manager *m, StoreFile file, const char *name)
{
        const ManagerOptions *o = &m->options;
        char *path;
        int r;

        switch (file) {
        case STORE_POOL:
                r = asprintf(&path, "%s/pools/%s.xml", o->config_dir, name);
                break;
        case STORE_AUTOSTART:
                r = asprintf(&path, "%s/autostart/%s.xml", o->config_dir, name);
                break;
        case STORE_ACTIVE:
                r = asprintf(&path, "%s/active/%s.xml", o->runtime_dir, name);
                break;
        case STORE_AUTOSTARTED:
                r = asprintf(&path, "%s/autostarted/%s", o->runtime_dir, name);
                break;
        case STORE_INTENT:
                r = asprintf(&path, "%s/intents/%s", o->state_dir, name);
                break;
        case STORE_INCOMPLETE:
                r = asprintf(&path, "%s/incomplete/%s", o->state_dir, name);
                break;
        case STORE_SECRET:
                r = asprintf(&path, "%s/secrets/%s", o->config_dir, name);
                break;
        case STORE_VOLUME_SECRET:
                r = asprintf(&path, "%s/volume-secrets/%s", o->state_dir, name);
                break;
        default:
                return NULL;
        }
        return r < 0 ? NULL : path;
}

static int add_change(StoreChange **list, const char *op, char *path, const char *content, uint32_t mode)
{
        StoreChange *c, **end = list;

        c = calloc(1, sizeof *c);
        if (!c || !path) {
                free(c);
                free(path);
                return -ENOMEM;
        }
        c->op = op;
        c->path = path;
        c->mode = mode;
        c->content = strdup(strempty(content));
        if (!c->content) {
                store_change_free(c);
                return -ENOMEM;
        }
        while (*end)
                end = &(*end)->next;
        *end = c;
        return 0;
}

int store_change_write(const Manager *m, StoreChange **list, StoreFile file, const char *name,
                       const char *content)
{
        return add_change(list, "write", store_path(m, file, name), content, 0600);
}

int store_change_write_secret(const Manager *m, StoreChange **list, StoreFile file, const char *name,
                              const void *value, size_t size)
{
        _cleanup_free_ char *hex = malloc(2 * size + 1);
        int r;

        if (!hex)
                return -ENOMEM;
        hex[0] = 0;
        for (size_t i = 0; i < size; i++)
                (void) snprintf(hex + 2 * i, 3, "%02x", ((const uint8_t *) value)[i]);
        r = add_change(list, "write-hex", store_path(m, file, name), hex, 0600);
        explicit_bzero(hex, 2 * size);
        return r;
}

int store_change_remove(const Manager *m, StoreChange **list, StoreFile file, const char *name)
{
        return add_change(list, "remove", store_path(m, file, name), NULL, 0);
}

int store_change_link(const Manager *m, StoreChange **list, const char *name)
{
        _cleanup_free_ char *target = NULL;

        if (asprintf(&target, "../pools/%s.xml", name) < 0)
                return -ENOMEM;
        return add_change(list, "link", store_path(m, STORE_AUTOSTART, name), target, 0);
}

static void request_free(Request *req)
{
        store_change_free(req->changes);
        free(req);
}

static void finish_first(Store *store, const sd_bus_error *error)
{
        Request *req = TAILQ_FIRST(&store->queue);

        TAILQ_REMOVE(&store->queue, req, entry);
        if (req->done)
                req->done(error, req->userdata);
        request_free(req);
}

static int read_ability(Manager *m, sd_bus_message *reply)
{
        TypeAbility ability = {.available = true};
        const char *name;
        PoolType type;
        int r;

        r = sd_bus_message_read(reply, "s", &name);
        if (r >= 0)
                r = sd_bus_message_read_strv(reply, &ability.operations);
        if (r >= 0)
                r = sd_bus_message_read_strv(reply, &ability.missing_tools);
        if (r < 0)
                return r;
        type = pool_type_from_string(name);
        if (type == _POOL_TYPE_INVALID || m->abilities[type].available) {
                strv_free(ability.operations);
                strv_free(ability.missing_tools);
                return 0;
        }
        m->abilities[type] = ability;
        return 0;
}

static int read_abilities(Manager *m, sd_bus_message *reply)
{
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(sasas)");
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'r', "sasas")) > 0) {
                r = read_ability(m, reply);
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        return r;
}

static void on_reply(sd_bus_message *reply, const sd_bus_error *error, void *userdata)
{
        Store *store = userdata;
        Request *req = TAILQ_FIRST(&store->queue);

        /* The worker died: what it was told can be done twice. A successor is started by on_gone(). */
        if (!worker_process_alive(store->worker) && ++req->tries < STORE_TRIES_MAX)
                return;
        if (!error && streq(req->verb, "Describe") && read_abilities(store->manager, reply) < 0)
                log_error("Cannot read what the backends can do");
        finish_first(store, error);
        send_first(store);
}

static int append_changes(const StoreChange *c, sd_bus_message *m)
{
        int r;

        r = sd_bus_message_sensitive(m);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sssu)");
        for (; r >= 0 && c; c = c->next)
                r = sd_bus_message_append(m, "(sssu)", c->op, c->path, c->content, c->mode);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int send_request(Store *store, Request *req)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        int r;

        r = worker_process_new_call(store->worker, req->verb, &m);
        if (r >= 0 && streq(req->verb, "Apply"))
                r = append_changes(req->changes, m);
        if (r >= 0)
                r = worker_process_call(store->worker, m, STORE_TIMEOUT_USEC, on_reply, store);
        return r;
}

/* 1: somebody works on it, or there is none. */
static int try_first(Store *store)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        Request *req = TAILQ_FIRST(&store->queue);
        int r = 0;

        if (!req ||
            (store->worker && (!worker_process_alive(store->worker) || worker_process_busy(store->worker))))
                return 1;
        if (!store->worker)
                r = start_worker(store, &error);
        if (r >= 0)
                r = send_request(store, req);
        if (r >= 0)
                return 1;
        if (!sd_bus_error_is_set(&error))
                (void) error_set_errno(&error, r, "Cannot write the service's own files");
        finish_first(store, &error);
        return 0;
}

/* One that cannot be sent is over, and those behind it are as good as first: nobody else would try them. */
static void send_first(Store *store)
{
        while (try_first(store) == 0)
                ;
}

static void on_gone(WorkerProcess *w, void *userdata)
{
        Store *store = userdata;

        store->worker = worker_process_free(store->worker);
        send_first(store);
}

static int start_worker(Store *store, sd_bus_error *error)
{
        const WorkerHooks hooks = {.gone = on_gone, .userdata = store};

        return worker_process_new(store->manager->event, store->manager->options.worker_path, "store",
                                  "the worker that writes the service's own files", &hooks, &store->worker,
                                  error);
}

int store_new(Manager *m, Store **ret, sd_bus_error *error)
{
        _cleanup_(store_freep) Store *store = NULL;
        int r;

        store = calloc(1, sizeof *store);
        if (!store)
                return -ENOMEM;
        store->manager = m;
        TAILQ_INIT(&store->queue);
        r = start_worker(store, error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(store);
        return 0;
}

Store *store_free(Store *store)
{
        Request *req;

        if (!store)
                return NULL;
        while ((req = TAILQ_FIRST(&store->queue))) {
                TAILQ_REMOVE(&store->queue, req, entry);
                request_free(req);
        }
        worker_process_free(store->worker);
        free(store);
        return NULL;
}

static int queue_request(Store *store, const char *verb, StoreChange *list, StoreDone done, void *userdata)
{
        Request *req;

        req = calloc(1, sizeof *req);
        if (!req) {
                store_change_free(list);
                return -ENOMEM;
        }
        req->verb = verb;
        req->changes = list;
        req->done = done;
        req->userdata = userdata;
        TAILQ_INSERT_TAIL(&store->queue, req, entry);
        send_first(store);
        return 0;
}

int store_apply(Store *store, StoreChange *list, StoreDone done, void *userdata)
{
        return queue_request(store, "Apply", list, done, userdata);
}

int store_describe(Store *store, StoreDone done, void *userdata)
{
        return queue_request(store, "Describe", NULL, done, userdata);
}

bool store_is_idle(const Store *store)
{
        return TAILQ_EMPTY(&store->queue);
}
