/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interfaces/access.h"
#include "interfaces/manager-methods.h"
#include "interfaces/options.h"
#include "interfaces/reply.h"
#include "service/secret.h"

static int check(Manager *manager, sd_bus_message *m, bool force, uid_t *ret_uid, sd_bus_error *error)
{
        const Access access = {.action = "manage-secrets", .capacity = UINT64_MAX, .force = force};

        return access_check(bus_of(manager), m, &access, ret_uid, error);
}

/* The message is marked as sensitive in the vtable: it is wiped when it is freed. */
int manager_method_set_secret(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        Manager *manager = userdata;
        SecretValue value = {};
        const Option options[] = {
                {"uuid", 's', &value.uuid},
                {"description", 's', &value.description},
                {"force", 'b', &value.force},
        };
        uid_t uid;
        int r;

        r = sd_bus_message_read(m, "s", &value.usage);
        if (r >= 0)
                r = sd_bus_message_read_array(m, 'y', &value.value, &value.size);
        if (r >= 0)
                r = options_read(m, options, ELEMENTSOF(options), error);
        if (r >= 0)
                r = check(manager, m, value.force, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = secret_set(manager, &value, uid, &job, error);
        return r < 0 ? r : reply_when_done(bus_of(manager), m, job, REPLY_EMPTY, WAIT_DEFAULT_USEC, error);
}

int manager_method_remove_secret(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        Manager *manager = userdata;
        bool force = false;
        const Option options[] = {{"force", 'b', &force}};
        const char *name;
        uid_t uid;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
                r = options_read(m, options, ELEMENTSOF(options), error);
        if (r >= 0)
                r = check(manager, m, force, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = secret_remove(manager, name, force, uid, &job, error);
        return r < 0 ? r : reply_when_done(bus_of(manager), m, job, REPLY_EMPTY, WAIT_DEFAULT_USEC, error);
}

int manager_method_list_secrets(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        Manager *manager = userdata;
        const Secret *s;
        uid_t uid;
        int r;

        r = options_read(m, NULL, 0, error);
        if (r >= 0)
                r = check(manager, m, false, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sss)");
        TAILQ_FOREACH (s, &manager->secrets, entry) {
                if (r >= 0 && s->stored)
                        r = sd_bus_message_append(reply, "(sss)", s->usage, s->uuid, s->description);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
