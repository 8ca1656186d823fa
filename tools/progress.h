/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A progress bar in the last line of a terminal (standard error); nothing where there is no terminal. */

#include "common/util.h"

typedef struct Progress {
        const char *label; /* borrowed */
        bool enabled;      /* there is a terminal */
        bool drawn;
        bool queued; /* it waits for its turn */
        bool valid;  /* fraction means something */
        double fraction;
        uint64_t done, total, rate; /* bytes, bytes, bytes a second; 0: unknown */
        uint64_t expected_end;      /* µs UTC; 0: unknown */
        uint64_t began, drawn_at;   /* µs, CLOCK_MONOTONIC */
} Progress;

void progress_begin(Progress *p, const char *label, bool quiet);
void progress_draw(Progress *p);
/* Removes the bar, so that other text can be written. */
void progress_clear(Progress *p);

#define DURATION_BUFSIZE 32
/* "1:05", "2:00:07". Returns buf. */
const char *duration_format(char buf[static DURATION_BUFSIZE], uint64_t usec);
