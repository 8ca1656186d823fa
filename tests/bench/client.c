/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

void times_add(Times *t, uint64_t usec)
{
        if (t->n == t->allocated) {
                t->allocated = t->allocated ? t->allocated * 2 : 1024;
                t->values = reallocarray(t->values, t->allocated, sizeof(uint64_t));
                if (!t->values)
                        fail(-ENOMEM, NULL, "Cannot keep the times");
        }
        t->values[t->n++] = usec;
}

void times_print(const char *name, const Times *t)
{
        printf("\"%s\": [", name);
        for (size_t i = 0; i < t->n; i++)
                printf("%s%lu", i ? ", " : "", (unsigned long) t->values[i]);
        printf("]");
}

void times_done(Times *t)
{
        free(t->values);
        *t = (Times){0};
}

void fail(int r, const sd_bus_error *error, const char *what)
{
        fprintf(stderr, "%s: %s\n", what,
                error && sd_bus_error_is_set(error) ? error->message : strerrordesc_np(-r));
        exit(EXIT_FAILURE);
}

int check(int r, const char *what)
{
        if (r < 0)
                fail(r, NULL, what);
        return r;
}

unsigned parse_count(const char *s)
{
        unsigned long n;
        char *end;

        errno = 0;
        n = strtoul(s, &end, 10);
        if (errno != 0 || end == s || *end || n == 0 || n > 10000000)
                fail(-EINVAL, NULL, s);
        return (unsigned) n;
}

uint64_t timed_call(sd_bus *bus, sd_bus_message *m, sd_bus_message **ret)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        uint64_t begin = now_monotonic();
        int r;

        r = sd_bus_call(bus, m, CALL_TIMEOUT_USEC, &error, ret);
        if (r < 0)
                fail(r, &error, sd_bus_message_get_member(m));
        return now_monotonic() - begin;
}

sd_bus_message *new_call(sd_bus *bus, const char *name, const char *path, const char *interface,
                         const char *method)
{
        sd_bus_message *m;

        check(sd_bus_message_new_method_call(bus, &m, name, path, interface, method), "Cannot make a call");
        return m;
}

/* NAME PATH INTERFACE METHOD COUNT [s TEXT | u NUMBER | o (no options)]... */
static void bench_call(sd_bus *bus, char *argv[])
{
        unsigned count = parse_count(argv[4]);
        Times times = {0};

        for (unsigned i = 0; i < count; i++) {
                _cleanup_bus_message_unref_ sd_bus_message *m =
                        new_call(bus, argv[0], argv[1], argv[2], argv[3]);

                for (char **a = argv + 5; *a; a++) {
                        if (streq(*a, "o"))
                                check(sd_bus_message_append(m, "a{sv}", 0), "Cannot make a call");
                        else if (!a[1])
                                fail(-EINVAL, NULL, *a);
                        else if (streq(*a, "s"))
                                check(sd_bus_message_append(m, "s", *++a), "Cannot make a call");
                        else
                                check(sd_bus_message_append(m, "u", atoi(*++a)), "Cannot make a call");
                }
                times_add(&times, timed_call(bus, m, NULL));
        }
        printf("{");
        times_print("usec", &times);
        printf("}\n");
        times_done(&times);
}

static const struct {
        const char *name;
        void (*run)(sd_bus *bus, char *argv[]);
        int min;
} verbs[] = {
        {"call", bench_call, 5},     {"churn", bench_churn, 5}, {"list", bench_list, 2},
        {"appear", bench_appear, 3}, {"probe", bench_probe, 0}, {"use", bench_use, 1},
};

int main(int argc, char *argv[])
{
        sd_bus *bus = NULL;

        if (argc == 5 && streq(argv[1], "worker")) {
                bench_worker(argv + 2);
                return 0;
        }
        for (size_t i = 0; argc >= 2 && i < ELEMENTSOF(verbs); i++) {
                if (!streq(argv[1], verbs[i].name) || argc < 2 + verbs[i].min)
                        continue;
                check(sd_bus_open_system(&bus), "Cannot connect to the bus");
                verbs[i].run(bus, argv + 2);
                sd_bus_flush_close_unref(bus);
                return 0;
        }
        fprintf(stderr, "Usage: %s call|churn|list|appear|probe|use|worker ARGUMENT...\n", argv[0]);
        return 2;
}
