/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

#include <fcntl.h>
#include <poll.h>

#define APPEAR_TIMEOUT_USEC (5 * USEC_PER_SEC)
/* Pauses between files, so that they fall anywhere in the service's own rhythm. */
#define PAUSE_MIN_USEC 3000U
#define PAUSE_SPREAD_USEC 20000U
/* Between two calls of the one who looks how long others wait. */
#define PROBE_PAUSE_MSEC 1

typedef struct Appear {
        char name[64];
        uint64_t at; /* when its signal came; 0: not yet */
} Appear;

static int on_added(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Appear *a = userdata;
        const char *path, *last;

        if (sd_bus_message_read(m, "o", &path) < 0)
                return 0;
        last = strrchr(path, '/');
        if (last && streq(last + 1, a->name))
                a->at = now_monotonic();
        return 0;
}

static void make_file(const char *folder, const char *name)
{
        _cleanup_close_ int fd = -EBADF;
        char path[4096], text[4096];

        (void) snprintf(path, sizeof path, "%s/%s", folder, name);
        memset(text, 'x', sizeof text);
        fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        if (fd < 0 || write(fd, text, sizeof text) < 0)
                fail(-errno, NULL, path);
}

static uint64_t await_signal(sd_bus *bus, Appear *a, uint64_t begin)
{
        while (a->at == 0) {
                if (now_monotonic() - begin > APPEAR_TIMEOUT_USEC)
                        fail(-ETIMEDOUT, NULL, "A file was not told of");
                if (check(sd_bus_process(bus, NULL), "Cannot read from the bus") == 0)
                        check(sd_bus_wait(bus, APPEAR_TIMEOUT_USEC), "Cannot wait for the bus");
        }
        return a->at - begin;
}

void bench_appear(sd_bus *bus, char *argv[])
{
        unsigned count = parse_count(argv[2]), seed = 1;
        Appear a = {0};
        Times times = {0};

        check(sd_bus_match_signal(bus, NULL, STORAGE_NAME, argv[0], "org.freedesktop.DBus.ObjectManager",
                                  "InterfacesAdded", on_added, &a),
              "Cannot listen");
        for (unsigned i = 0; i < count; i++) {
                uint64_t begin;

                (void) usleep(PAUSE_MIN_USEC + (unsigned) rand_r(&seed) % PAUSE_SPREAD_USEC);
                (void) snprintf(a.name, sizeof a.name, "appear%06u", i);
                a.at = 0;
                begin = now_monotonic();
                make_file(argv[1], a.name);
                times_add(&times, await_signal(bus, &a, begin));
        }
        printf("{");
        times_print("usec", &times);
        printf("}\n");
        times_done(&times);
}

static bool input_ended(void)
{
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        char c;

        return poll(&p, 1, PROBE_PAUSE_MSEC) > 0 && read(STDIN_FILENO, &c, 1) <= 0;
}

void bench_probe(sd_bus *bus, char *argv[])
{
        Times get = {0}, managed = {0};

        do {
                _cleanup_bus_message_unref_ sd_bus_message *m = NULL, *objects = NULL;

                m = new_call(bus, STORAGE_NAME, STORAGE_ROOT, "org.freedesktop.DBus.Properties", "Get");
                check(sd_bus_message_append(m, "ss", STORAGE_NAME ".Manager", "Version"),
                      "Cannot make a call");
                times_add(&get, timed_call(bus, m, NULL));
                objects = new_call(bus, STORAGE_NAME, STORAGE_ROOT, "org.freedesktop.DBus.ObjectManager",
                                   "GetManagedObjects");
                times_add(&managed, timed_call(bus, objects, NULL));
        } while (!input_ended());
        printf("{");
        times_print("get", &get);
        printf(", ");
        times_print("managed", &managed);
        printf("}\n");
        times_done(&get);
        times_done(&managed);
}
