/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

#include <signal.h>
#include <sys/wait.h>

/* Between two rounds. */
#define PAUSE_MSEC 2

typedef struct Use {
        sd_bus *bus;
        const char *pool;
        unsigned n;
        Times get, list, create, delete, idle;
} Use;

static void get_properties(Use *u)
{
        _cleanup_bus_message_unref_ sd_bus_message *m =
                new_call(u->bus, STORAGE_NAME, u->pool, "org.freedesktop.DBus.Properties", "GetAll");

        check(sd_bus_message_append(m, "s", STORAGE_NAME ".Pool"), "Cannot make a call");
        times_add(&u->get, timed_call(u->bus, m, NULL));
}

static void list_volumes(Use *u)
{
        _cleanup_bus_message_unref_ sd_bus_message *m =
                new_call(u->bus, STORAGE_NAME, u->pool, STORAGE_NAME ".Pool", "ListVolumes");

        check(sd_bus_message_append(m, "a{sv}", 0), "Cannot make a call");
        times_add(&u->list, timed_call(u->bus, m, NULL));
}

/* A raw volume of no allocation: what there is of the pool's worker in it, not of its disk. */
static void create_and_delete(Use *u)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL, *reply = NULL, *delete = NULL;
        const char *volume;
        char name[32];

        (void) snprintf(name, sizeof name, "use-%u", u->n++);
        m = new_call(u->bus, STORAGE_NAME, u->pool, STORAGE_NAME ".Pool", "CreateVolume");
        check(sd_bus_message_append(m, "sta{sv}", name, UINT64_C(1) << 30, 0), "Cannot make a call");
        times_add(&u->create, timed_call(u->bus, m, &reply));
        check(sd_bus_message_read(reply, "o", &volume), "Cannot read what was made");
        delete = new_call(u->bus, STORAGE_NAME, volume, STORAGE_NAME ".Volume", "Delete");
        check(sd_bus_message_append(delete, "a{sv}", 0), "Cannot make a call");
        times_add(&u->delete, timed_call(u->bus, delete, NULL));
}

void bench_use(sd_bus *bus, char *argv[])
{
        Use u = {.bus = bus, .pool = argv[0]};
        char idle[64];
        pid_t pid = start_idle(idle, sizeof idle);
        const struct {
                const char *name;
                Times *times;
        } all[] = {{"get", &u.get},
                   {"list", &u.list},
                   {"create", &u.create},
                   {"delete", &u.delete},
                   {"idle", &u.idle}};

        do {
                get_properties(&u);
                list_volumes(&u);
                create_and_delete(&u);
                times_add(&u.idle, ping_idle(bus, idle));
        } while (!input_ended(PAUSE_MSEC));
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
        printf("{");
        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                printf("%s", i ? ", " : "");
                times_print(all[i].name, all[i].times);
                times_done(all[i].times);
        }
        printf("}\n");
}
