/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/qemu-img.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MEMORY_MAX (UINT64_C(2) * 1024 * 1024 * 1024)
/* Filling a large image takes processor time too: this for itself, and as much again for each GiB. */
#define CPU_SECONDS 60U
#define COMPRESSION_FACTOR 20U
#define COMPLAINT_MAX 4096U
#define PROGRESS_MAX 128U
#define POLL_MSEC 100
#define TRIES_MAX 9U
/* execve() was not possible: as a shell says it. */
#define EXIT_NOT_FOUND 127

typedef struct Child {
        pid_t pid;
        int complaints; /* its stderr */
        int told;       /* its stdout */
        size_t n;
        char text[COMPLAINT_MAX];
} Child;

static void limit(int resource, uint64_t value)
{
        (void) setrlimit(resource, &(struct rlimit){.rlim_cur = value, .rlim_max = value});
}

/* The descriptors get their numbers: first out of each other's way, then to where they belong. */
static bool place_descriptors(const int *fds, size_t n)
{
        int high[QEMU_IMG_FDS_MAX];

        for (size_t i = 0; i < n; i++) {
                high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, QEMU_IMG_FD + QEMU_IMG_FDS_MAX);
                if (high[i] < 0)
                        return false;
        }
        for (size_t i = 0; i < n; i++) {
                if (dup2(high[i], QEMU_IMG_FD + (int) i) < 0)
                        return false;
        }
        return true;
}

/* In the child. Everything else that is open closes itself at execve(). */
static _Noreturn void exec_tool(const QemuImgCall *call, int told, int complaints)
{
        static const char *const env[] = {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
        uint64_t work = 1 + call->total / (1024 * 1024 * 1024);
        sigset_t none;
        int null;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        (void) signal(SIGUSR1, SIG_DFL);
        (void) signal(SIGPIPE, SIG_DFL);
        (void) umask(0077);
        null = open("/dev/null", O_RDWR);
        if (dup2(null, STDIN_FILENO) < 0 || dup2(call->tells ? told : null, STDOUT_FILENO) < 0 ||
            dup2(complaints, STDERR_FILENO) < 0 || !place_descriptors(call->fds, call->n_fds))
                _exit(EXIT_NOT_FOUND);
        limit(RLIMIT_AS, MEMORY_MAX);
        limit(RLIMIT_CORE, 0);
        limit(RLIMIT_CPU, CPU_SECONDS * work * (call->compresses ? COMPRESSION_FACTOR : 1));
        (void) execvpe(call->argv[0], call->argv, (char *const *) env);
        _exit(EXIT_NOT_FOUND);
}

static int start(Child *child, const QemuImgCall *call)
{
        _cleanup_close_ int told = -EBADF, complaints = -EBADF;
        int pipe_fds[2];

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        child->complaints = pipe_fds[0];
        complaints = pipe_fds[1];
        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        child->told = pipe_fds[0];
        told = pipe_fds[1];
        (void) fcntl(child->complaints, F_SETFL, O_NONBLOCK);
        (void) fcntl(child->told, F_SETFL, O_NONBLOCK);
        child->pid = fork();
        if (child->pid == 0)
                exec_tool(call, told, complaints);
        return child->pid < 0 ? -errno : 0;
}

/* Keeps the first part; the rest is read and dropped, so that the tool does not block. 0: it was closed. */
static bool read_complaints(Child *child)
{
        char dropped[512];

        for (;;) {
                bool room = child->n < sizeof(child->text) - 1;
                ssize_t n = room ? read(child->complaints, child->text + child->n,
                                        sizeof(child->text) - 1 - child->n)
                                 : read(child->complaints, dropped, sizeof(dropped));

                if (n == 0)
                        return false;
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR;
                child->n += room ? (size_t) n : 0;
        }
}

static void tell_allocated(BackendContext *ctx, int fd, uint64_t total)
{
        struct stat st;
        uint64_t done;

        if (total == 0 || fstat(fd, &st) < 0)
                return;
        done = (uint64_t) st.st_blocks * 512;
        ctx->progress(ctx, done < total ? done : total, total);
}

/* "    (12.34/100%)" and a carriage return, again and again: the last is what counts. */
static void tell_printed(BackendContext *ctx, Child *child, uint64_t total)
{
        char text[PROGRESS_MAX];
        const char *p;
        double percent;
        ssize_t n;

        while ((n = read(child->told, text, sizeof(text) - 1)) > 0) {
                text[n] = 0;
                p = strrchr(text, '(');
                if (p && sscanf(p, "(%lf/100%%)", &percent) == 1 && percent >= 0 && percent <= 100)
                        ctx->progress(ctx, (uint64_t) ((double) total / 100 * percent), total);
        }
}

/* Until its stderr is closed, which nothing else holds. 0, -ECANCELED or -ETIMEDOUT. */
static int follow(BackendContext *ctx, Child *child, const QemuImgCall *call)
{
        uint64_t end = call->deadline_usec > 0 ? now_monotonic() + call->deadline_usec : UINT64_MAX;

        for (;;) {
                struct pollfd p = {.fd = child->complaints, .events = POLLIN};

                if (poll(&p, 1, POLL_MSEC) > 0 && !read_complaints(child))
                        return 0;
                if (ctx->cancelled(ctx))
                        return -ECANCELED;
                if (now_monotonic() > end)
                        return -ETIMEDOUT;
                if (call->tells)
                        tell_printed(ctx, child, call->total);
                else
                        tell_allocated(ctx, call->fds[0], call->total);
        }
}

static int reap(Child *child, int *ret_status)
{
        while (waitpid(child->pid, ret_status, 0) < 0) {
                if (errno != EINTR)
                        return -errno;
        }
        return 0;
}

/* The last line says what it comes down to; its own name in front of it helps nobody. */
static const char *last_complaint(Child *child)
{
        const char *line;
        char *end;

        child->text[child->n] = 0;
        while (child->n > 0 && (child->text[child->n - 1] == '\n' || child->text[child->n - 1] == ' '))
                child->text[--child->n] = 0;
        end = strrchr(child->text, '\n');
        line = end ? end + 1 : child->text;
        return startswith(line, "qemu-img: ") ?: line;
}

static int explain(BackendContext *ctx, Child *child, const char *tool, int status, const char *what)
{
        _cleanup_free_ char *text = NULL;
        const char *line = last_complaint(child), *name = STORAGE_ERROR_FAILED;

        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_FOUND && child->n == 0)
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                                         "Cannot %s: the program %s is not installed (package qemu-utils)",
                                         what, tool);
        if (WIFSIGNALED(status))
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_FAILED,
                                         "Cannot %s: %s was killed by signal %s", what, tool,
                                         strempty(sigabbrev_np(WTERMSIG(status))));
        if (strstr(line, strerrordesc_np(ENOSPC)) || strstr(line, strerrordesc_np(EFBIG)))
                name = STORAGE_ERROR_NO_SPACE;
        if (strstr(line, "Invalid password"))
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                         "Cannot %s: the secret is not the one that it is encrypted with",
                                         what);
        if (utf8_make_valid(line, strlen(line), &text) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot %s", what);
        return sd_bus_error_setf(ctx->error, name, "Cannot %s: %s says: %s", what, tool, text);
}

int qemu_img_call(BackendContext *ctx, const QemuImgCall *call)
{
        Child child = {.complaints = -EBADF, .told = -EBADF};
        int r, q = 0, status = 0;

        r = start(&child, call);
        if (r >= 0) {
                r = follow(ctx, &child, call);
                if (r < 0)
                        (void) kill(child.pid, SIGKILL);
        }
        child.complaints = safe_close(child.complaints);
        child.told = safe_close(child.told);
        if (child.pid > 0)
                q = reap(&child, &status);
        if (r == -ECANCELED)
                return sd_bus_error_setf(ctx->error, STORAGE_ERROR_CANCELLED, "Cancelled: %s", call->what);
        if (r < 0 || q < 0)
                return error_set_errno(ctx->error, r < 0 ? r : q, "Cannot %s", call->what);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        return explain(ctx, &child, call->argv[0], status, call->what);
}

int qemu_img_open_secret(BackendContext *ctx, const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);

        return fd < 0 ? error_set_errno(ctx->error, errno, "The secret cannot be read any more") : fd;
}

/*
 * QEMU (7.2, crypto/pbkdf.c) counts how much hashing takes how much of its processor time, and gives up if
 * that is none: the clock has ticks, and on a busy host these may miss it. Nothing has been written then.
 */
static bool is_worth_another_try(const BackendContext *ctx)
{
        return ctx->error && ctx->error->message && strstr(ctx->error->message, "accurate CPU usage");
}

int qemu_img_run(BackendContext *ctx, char **argv, int fd, uint64_t total, uint64_t deadline_usec,
                 const char *what)
{
        _cleanup_close_ int secret = -EBADF;
        int r;

        if (ctx->secret) {
                secret = qemu_img_open_secret(ctx, ctx->secret);
                if (secret < 0)
                        return secret;
        }
        for (unsigned i = 0;; i++) {
                r = qemu_img_call(ctx, &(QemuImgCall){
                                               .argv = argv,
                                               .fds = (int[]){fd, secret},
                                               .n_fds = secret < 0 ? 1 : 2,
                                               .total = total,
                                               .deadline_usec = deadline_usec,
                                               .what = what,
                                       });
                if (r >= 0 || i == TRIES_MAX || !is_worth_another_try(ctx))
                        return r;
                sd_bus_error_free(ctx->error);
        }
}
