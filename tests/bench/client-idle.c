/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>

bool input_ended(int msec)
{
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        char c;

        return poll(&p, 1, msec) > 0 && read(STDIN_FILENO, &c, 1) <= 0;
}

/* Until its parent ends it. */
static void answer_pings(int fd)
{
        sd_bus *bus = NULL;
        const char *name;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        check(sd_bus_open_system(&bus), "Cannot connect to the bus");
        check(sd_bus_get_unique_name(bus, &name), "Cannot connect to the bus");
        if (write(fd, name, strlen(name) + 1) < 0)
                fail(-errno, NULL, "Cannot tell a name");
        for (;;) {
                if (check(sd_bus_process(bus, NULL), "Cannot read from the bus") == 0)
                        check(sd_bus_wait(bus, UINT64_MAX), "Cannot wait for the bus");
        }
}

pid_t start_idle(char *ret_name, size_t size)
{
        int fds[2];
        ssize_t n;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                fail(-errno, NULL, "pipe");
        pid = fork();
        if (pid < 0)
                fail(-errno, NULL, "fork");
        if (pid == 0)
                answer_pings(fds[1]);
        (void) close(fds[1]);
        n = read(fds[0], ret_name, size);
        (void) close(fds[0]);
        if (n <= 0 || ret_name[n - 1] != 0)
                fail(-EIO, NULL, "Cannot start a process to compare with");
        return pid;
}

uint64_t ping_idle(sd_bus *bus, const char *name)
{
        _cleanup_bus_message_unref_ sd_bus_message *m =
                new_call(bus, name, "/", "org.freedesktop.DBus.Peer", "Ping");

        return timed_call(bus, m, NULL);
}
