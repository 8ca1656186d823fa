/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define APPEAR_PREFIX "appear"
#define APPEAR_TIMEOUT_USEC (5 * USEC_PER_SEC)
/* Pauses between files, so that they fall anywhere in the service's own rhythm. */
#define PAUSE_MIN_USEC 3000U
#define PAUSE_SPREAD_USEC 20000U
/* Between two calls of the one who looks how long others wait. */
#define PROBE_PAUSE_MSEC 1

/* Shared with the process that makes the files: it may have to wait for a disk, and the listener must not.
 */
typedef struct Appear {
        unsigned count, told;
        uint64_t *made; /* when the file of that number was there; 0: not yet */
        uint64_t *seen; /* when its signal came */
} Appear;

static int on_added(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Appear *a = userdata;
        const char *path, *last, *number;
        unsigned long i;

        if (sd_bus_message_read(m, "o", &path) < 0)
                return 0;
        last = strrchr(path, '/');
        number = last ? startswith(last + 1, APPEAR_PREFIX) : NULL;
        i = number ? strtoul(number, NULL, 10) : a->count;
        if (i < a->count && a->seen[i] == 0) {
                a->seen[i] = now_monotonic();
                a->told++;
        }
        return 0;
}

static void make_file(const char *folder, unsigned i, uint64_t *ret_made)
{
        _cleanup_close_ int fd = -EBADF;
        char path[4096], text[4096];

        (void) snprintf(path, sizeof path, "%s/" APPEAR_PREFIX "%06u", folder, i);
        memset(text, 'x', sizeof text);
        fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        *ret_made = now_monotonic();
        if (fd < 0 || write(fd, text, sizeof text) < 0)
                fail(-errno, NULL, path);
}

static pid_t make_files(const char *folder, Appear *a)
{
        unsigned seed = 1;
        pid_t pid = fork();

        if (pid < 0)
                fail(-errno, NULL, "fork");
        if (pid > 0)
                return pid;
        for (unsigned i = 0; i < a->count; i++) {
                (void) usleep(PAUSE_MIN_USEC + (unsigned) rand_r(&seed) % PAUSE_SPREAD_USEC);
                make_file(folder, i, a->made + i);
        }
        _exit(0);
}

static void listen_to_all(sd_bus *bus, Appear *a)
{
        uint64_t last = now_monotonic();

        while (a->told < a->count) {
                unsigned told = a->told;

                if (now_monotonic() - last > APPEAR_TIMEOUT_USEC)
                        fail(-ETIMEDOUT, NULL, "A file was not told of");
                if (check(sd_bus_process(bus, NULL), "Cannot read from the bus") == 0)
                        check(sd_bus_wait(bus, APPEAR_TIMEOUT_USEC), "Cannot wait for the bus");
                if (a->told > told)
                        last = now_monotonic();
        }
}

void bench_appear(sd_bus *bus, char *argv[])
{
        Appear a = {.count = parse_count(argv[2])};
        size_t size = a.count * 2 * sizeof(uint64_t);
        Times times = {0};
        pid_t pid;

        a.made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (a.made == MAP_FAILED)
                fail(-errno, NULL, "mmap");
        a.seen = a.made + a.count;
        check(sd_bus_match_signal(bus, NULL, STORAGE_NAME, argv[0], "org.freedesktop.DBus.ObjectManager",
                                  "InterfacesAdded", on_added, &a),
              "Cannot listen");
        pid = make_files(argv[1], &a);
        listen_to_all(bus, &a);
        (void) waitpid(pid, NULL, 0);
        for (unsigned i = 0; i < a.count; i++)
                times_add(&times, a.seen[i] > a.made[i] ? a.seen[i] - a.made[i] : 0);
        printf("{");
        times_print("usec", &times);
        printf("}\n");
        times_done(&times);
        (void) munmap(a.made, size);
}

static uint64_t list_volumes(sd_bus *bus, const char *pool)
{
        _cleanup_bus_message_unref_ sd_bus_message *m =
                new_call(bus, STORAGE_NAME, pool, STORAGE_NAME ".Pool", "ListVolumes");

        check(sd_bus_message_append(m, "a{sv}", 0), "Cannot make a call");
        return timed_call(bus, m, NULL);
}

static uint64_t ask(sd_bus *bus, const char *name, const char *path, const char *interface,
                    const char *method, const char *of, const char *property)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = new_call(bus, name, path, interface, method);

        if (property)
                check(sd_bus_message_append(m, "ss", of, property), "Cannot make a call");
        return timed_call(bus, m, NULL);
}

/* ["idle" | POOL]: a process that does nothing, or a pool, is asked, too. */
void bench_probe(sd_bus *bus, char *argv[])
{
        const char *pool = argv[0] && argv[0][0] == '/' ? argv[0] : NULL;
        Times get = {0}, managed = {0}, idle = {0}, list = {0};
        char name[64] = "";
        pid_t pid = streq_ptr(argv[0], "idle") ? start_idle(name, sizeof name) : 0;

        do {
                times_add(&get, ask(bus, STORAGE_NAME, STORAGE_ROOT, "org.freedesktop.DBus.Properties",
                                    "Get", STORAGE_NAME ".Manager", "Version"));
                times_add(&managed,
                          ask(bus, STORAGE_NAME, STORAGE_ROOT, "org.freedesktop.DBus.ObjectManager",
                              "GetManagedObjects", NULL, NULL));
                if (pool)
                        times_add(&list, list_volumes(bus, pool));
                if (pid > 0)
                        times_add(&idle, ping_idle(bus, name));
        } while (!input_ended(PROBE_PAUSE_MSEC));
        if (pid > 0) {
                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
        }
        printf("{");
        times_print("get", &get);
        printf(", ");
        times_print("managed", &managed);
        printf(", ");
        times_print("idle", &idle);
        printf(", ");
        times_print("list", &list);
        printf("}\n");
        times_done(&get);
        times_done(&managed);
        times_done(&idle);
        times_done(&list);
}
