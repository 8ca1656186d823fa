/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The bench's client: one connection, one call after the other, microseconds as JSON on standard output. It
 * is in C and small so that what is measured is the service.
 */

#include "common/util.h"

#define STORAGE_NAME "org.example.Storage1"
#define STORAGE_ROOT "/org/example/Storage1"
#define CALL_TIMEOUT_USEC (120 * USEC_PER_SEC)

/* Times, in µs. */
typedef struct Times {
        uint64_t *values;
        size_t n, allocated;
} Times;

void times_add(Times *t, uint64_t usec);
/* "name": [1, 2, …] */
void times_print(const char *name, const Times *t);
void times_done(Times *t);

/* Says what failed, and ends the process. */
void fail(int r, const sd_bus_error *error, const char *what) __attribute__((noreturn));
/* As fail(), if r is an error. */
int check(int r, const char *what);
unsigned parse_count(const char *s);

/* Sends m and waits for the answer; ends the process on an error. Returns how long it took. */
uint64_t timed_call(sd_bus *bus, sd_bus_message *m, sd_bus_message **ret);
sd_bus_message *new_call(sd_bus *bus, const char *name, const char *path, const char *interface,
                         const char *method);

/* True once standard input has ended; waits so many ms for that. */
bool input_ended(int msec);
/* A process that does nothing but answer Ping: as long as that takes, anybody has to wait on this machine
 * now. Its bus name goes to ret_name; end it by SIGKILL. */
pid_t start_idle(char *ret_name, size_t size);
/* Asks it once. */
uint64_t ping_idle(sd_bus *bus, const char *name);

/* What can be measured; each takes the arguments behind its name. */
void bench_churn(sd_bus *bus, char *argv[]);  /* storaged|libvirt POOL COUNT FORMAT PREFIX */
void bench_list(sd_bus *bus, char *argv[]);   /* POOL TIMES */
void bench_appear(sd_bus *bus, char *argv[]); /* VOLUMES FOLDER COUNT */
void bench_probe(sd_bus *bus, char *argv[]);  /* [idle]; until the end of standard input */
void bench_use(sd_bus *bus, char *argv[]);    /* POOL; until the end of standard input */
void bench_worker(char *argv[]);              /* BINARY FOLDER PASSES */
