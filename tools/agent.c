/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tools/agent.h"

static _Noreturn void run_agent(int ready, pid_t parent)
{
        char fd[16];

        /* an agent that outlives us would keep asking on a terminal that has a shell prompt again */
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        (void) snprintf(fd, sizeof(fd), "%d", ready);
        (void) fcntl(ready, F_SETFD, 0);
        (void) execlp("pkttyagent", "pkttyagent", "--notify-fd", fd, "--fallback", (char *) NULL);
        _exit(EXIT_FAILURE);
}

void agent_start(Context *c)
{
        pid_t self = getpid(), pid;
        int ready[2];
        char byte;

        if (c->agent > 0 || c->user || !c->ask_password || geteuid() == 0 || !isatty(STDIN_FILENO))
                return;
        if (pipe2(ready, O_CLOEXEC) < 0)
                return;
        pid = fork();
        if (pid == 0)
                run_agent(ready[1], self);
        (void) safe_close(ready[1]);
        /* it closes its end once it is registered, or when it dies */
        if (pid > 0) {
                while (read(ready[0], &byte, 1) < 0 && errno == EINTR)
                        ;
                c->agent = pid;
        }
        (void) safe_close(ready[0]);
}

void agent_stop(Context *c)
{
        if (c->agent <= 0)
                return;
        (void) kill(c->agent, SIGTERM);
        (void) kill(c->agent, SIGCONT);
        while (waitpid(c->agent, NULL, 0) < 0 && errno == EINTR)
                ;
        c->agent = 0;
}
