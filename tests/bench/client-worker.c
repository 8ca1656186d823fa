/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/worker-protocol.h"

/* A pool worker of our own, spoken to as the service does. */
static pid_t start_worker(const char *binary, int *ret_fd)
{
        char parent[32];
        int pair[2];
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                fail(-errno, NULL, "socketpair");
        (void) snprintf(parent, sizeof parent, "--parent=%d", getpid());
        pid = fork();
        if (pid < 0)
                fail(-errno, NULL, "fork");
        if (pid == 0) {
                (void) setpgid(0, 0);
                if (dup2(pair[1], WORKER_FD) == WORKER_FD)
                        (void) execl(binary, binary, "pool", parent, (char *) NULL);
                _exit(127);
        }
        (void) close(pair[1]);
        *ret_fd = pair[0];
        return pid;
}

static void connect_worker(int fd, sd_bus **ret)
{
        check(sd_bus_new(ret), "Cannot speak to the worker");
        check(sd_bus_set_fd(*ret, fd, fd), "Cannot speak to the worker");
        check(sd_bus_negotiate_fds(*ret, true), "Cannot speak to the worker");
        check(sd_bus_set_anonymous(*ret, true), "Cannot speak to the worker");
        check(sd_bus_start(*ret), "Cannot speak to the worker");
}

static void set_pool(sd_bus *bus, const char *folder)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        char xml[4096];

        (void) snprintf(xml, sizeof xml,
                        "<pool type='dir'><name>bench</name>"
                        "<uuid>3d2b3f1c-8a57-4d6b-9a4e-0f1f9d1c7a11</uuid>"
                        "<target><path>%s</path></target></pool>",
                        folder);
        m = new_call(bus, NULL, WORKER_PATH, WORKER_INTERFACE, "SetPool");
        check(sd_bus_message_append(m, "sa{sv}", xml, 0), "Cannot make a call");
        (void) timed_call(bus, m, NULL);
}

/* Rows that came are dropped unread: their reading is the service's part. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        unsigned *signals = userdata;

        if (sd_bus_message_is_signal(m, WORKER_INTERFACE, "Rows"))
                (*signals)++;
        return 0;
}

static uint64_t refresh(sd_bus *bus)
{
        _cleanup_bus_message_unref_ sd_bus_message *m =
                new_call(bus, NULL, WORKER_PATH, WORKER_INTERFACE, "Refresh");
        uint64_t usec = timed_call(bus, m, NULL);

        while (check(sd_bus_process(bus, NULL), "Cannot read from the worker") > 0)
                ;
        return usec;
}

void bench_worker(char *argv[])
{
        unsigned passes = parse_count(argv[2]), signals = 0;
        Times full = {0}, unchanged = {0};

        for (unsigned i = 0; i < passes; i++) {
                sd_bus *bus = NULL;
                int fd;
                pid_t pid = start_worker(argv[0], &fd);

                connect_worker(fd, &bus);
                check(sd_bus_add_filter(bus, NULL, on_message, &signals), "Cannot listen");
                set_pool(bus, argv[1]);
                times_add(&full, refresh(bus));
                times_add(&unchanged, refresh(bus));
                sd_bus_close_unref(bus);
                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
        }
        printf("{\"signals\": %u, ", signals / passes);
        times_print("full", &full);
        printf(", ");
        times_print("unchanged", &unchanged);
        printf("}\n");
        times_done(&full);
        times_done(&unchanged);
}
