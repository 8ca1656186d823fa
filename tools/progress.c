/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/ioctl.h>

#include "common/size.h"
#include "tools/progress.h"
#include "tools/table.h"

#define BAR_MAX 40U
#define BAR_MIN 8U
#define LINE_DEFAULT 80U
#define PULSE_USEC (125 * USEC_PER_MSEC) /* a step of the block that runs to and fro */

void progress_begin(Progress *p, const char *label, bool quiet)
{
        const char *term = getenv("TERM");

        *p = (Progress){
                .label = label,
                .enabled = !quiet && isatty(STDERR_FILENO) && !(term && streq(term, "dumb")),
                .began = now_monotonic(),
        };
}

static size_t line_width(void)
{
        struct winsize size;

        if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
                return LINE_DEFAULT;
        return size.ws_col;
}

const char *duration_format(char buf[static DURATION_BUFSIZE], uint64_t usec)
{
        unsigned long seconds = (unsigned long) (usec / USEC_PER_SEC);

        if (seconds < 3600)
                (void) snprintf(buf, DURATION_BUFSIZE, "%lu:%02lu", seconds / 60, seconds % 60);
        else
                (void) snprintf(buf, DURATION_BUFSIZE, "%lu:%02lu:%02lu", seconds / 3600, seconds / 60 % 60,
                                seconds % 60);
        return buf;
}

/* "60 %  1.20 GiB of 2.00 GiB  300.00 MiB/s  0:04, 0:03 left": as much of it as is known. */
static void describe(const Progress *p, char *text, size_t size)
{
        char done[SIZE_BUFSIZE], total[SIZE_BUFSIZE], rate[SIZE_BUFSIZE], duration[DURATION_BUFSIZE];
        uint64_t now = now_realtime();
        size_t n = 0;

        if (p->queued)
                n += (size_t) snprintf(text + n, size - n, "waits for its turn  ");
        if (p->valid)
                n += (size_t) snprintf(text + n, size - n, "%3.0f %%  ", 100 * p->fraction);
        if (p->total > 0)
                n += (size_t) snprintf(text + n, size - n, "%s of %s  ", size_format(done, p->done),
                                       size_format(total, p->total));
        if (p->rate > 0)
                n += (size_t) snprintf(text + n, size - n, "%s/s  ", size_format(rate, p->rate));
        n += (size_t) snprintf(text + n, size - n, "%s",
                               duration_format(duration, now_monotonic() - p->began));
        if (p->expected_end > now)
                (void) snprintf(text + n, size - n, ", %s left",
                                duration_format(duration, p->expected_end - now));
}

static void fill_bar(const Progress *p, char *bar, size_t width)
{
        size_t filled, steps, at;

        memset(bar, '-', width);
        bar[width] = '\0';
        if (p->valid) {
                double f = p->fraction < 0 ? 0 : p->fraction > 1 ? 1 : p->fraction;

                filled = (size_t) (f * (double) width + 0.5);
                memset(bar, '#', filled);
                return;
        }
        steps = width - 3;
        at = (now_monotonic() - p->began) / PULSE_USEC % (2 * steps);
        memset(bar + (at < steps ? at : 2 * steps - at), '#', 3);
}

void progress_draw(Progress *p)
{
        char text[160], bar[BAR_MAX + 1];
        size_t width, label, room;

        if (!p->enabled)
                return;
        describe(p, text, sizeof(text));
        width = line_width();
        label = text_width(p->label);
        /* "LABEL [BAR] TEXT" must not reach the last column, or the line wraps and cannot be removed */
        room = label + text_width(text) + 5;
        p->drawn = true;
        p->drawn_at = now_monotonic();
        if (width < room + BAR_MIN) {
                (void) fprintf(stderr, "\r\033[K%.*s", (int) (width - 1), text);
                return;
        }
        width = width - room < BAR_MAX ? width - room : BAR_MAX;
        fill_bar(p, bar, width);
        (void) fprintf(stderr, "\r\033[K%s [%s] %s", p->label, bar, text);
}

void progress_clear(Progress *p)
{
        if (p->drawn)
                (void) fputs("\r\033[K", stderr);
        p->drawn = false;
}
