/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

#define POOL_INTERFACE "org.example.Storage1.Pool"
#define CAPACITY UINT64_C(1048576)

typedef struct Churn {
        sd_bus *bus;
        bool libvirt;
        const char *pool, *format, *prefix;
        unsigned count;
        char **volumes; /* object paths */
} Churn;

static sd_bus_message *new_create(const Churn *c, unsigned i)
{
        char name[64], xml[512];
        sd_bus_message *m;
        int r;

        (void) snprintf(name, sizeof name, "%.40s%06u", c->prefix, i);
        if (!c->libvirt) {
                m = new_call(c->bus, STORAGE_NAME, c->pool, POOL_INTERFACE, "CreateVolume");
                r = sd_bus_message_append(m, "sta{sv}", name, CAPACITY, 1, "format", "s", c->format);
        } else {
                (void) snprintf(xml, sizeof xml,
                                "<volume><name>%s</name><capacity>%lu</capacity><allocation>0</allocation>"
                                "<target><format type='%.16s'/></target></volume>",
                                name, (unsigned long) CAPACITY, c->format);
                m = new_call(c->bus, "org.libvirt", c->pool, "org.libvirt.StoragePool",
                             "StorageVolCreateXML");
                r = sd_bus_message_append(m, "su", xml, 0);
        }
        check(r, "Cannot make a call");
        return m;
}

static sd_bus_message *new_delete(const Churn *c, const char *volume)
{
        sd_bus_message *m;

        m = new_call(c->bus, c->libvirt ? "org.libvirt" : STORAGE_NAME, volume,
                     c->libvirt ? "org.libvirt.StorageVol" : STORAGE_NAME ".Volume", "Delete");
        check(c->libvirt ? sd_bus_message_append(m, "u", 0) : sd_bus_message_append(m, "a{sv}", 0),
              "Cannot make a call");
        return m;
}

static uint64_t create_all(Churn *c, Times *times)
{
        uint64_t begin = now_monotonic();

        for (unsigned i = 0; i < c->count; i++) {
                _cleanup_bus_message_unref_ sd_bus_message *m = new_create(c, i), *reply = NULL;
                const char *path;

                times_add(times, timed_call(c->bus, m, &reply));
                check(sd_bus_message_read(reply, "o", &path), "Cannot read the answer");
                c->volumes[i] = strdup(path);
                if (!c->volumes[i])
                        fail(-ENOMEM, NULL, "Cannot keep a path");
        }
        return now_monotonic() - begin;
}

static uint64_t delete_all(Churn *c, Times *times)
{
        uint64_t begin = now_monotonic();

        for (unsigned i = 0; i < c->count; i++) {
                _cleanup_bus_message_unref_ sd_bus_message *m = new_delete(c, c->volumes[i]);

                times_add(times, timed_call(c->bus, m, NULL));
        }
        return now_monotonic() - begin;
}

void bench_churn(sd_bus *bus, char *argv[])
{
        _cleanup_strv_free_ char **volumes = NULL;
        Churn c = {
                .bus = bus,
                .libvirt = streq(argv[0], "libvirt"),
                .pool = argv[1],
                .count = parse_count(argv[2]),
                .format = argv[3],
                .prefix = argv[4],
        };
        Times create = {0}, delete = {0};
        uint64_t creating, deleting;

        volumes = calloc(c.count + 1, sizeof(char *));
        if (!volumes)
                fail(-ENOMEM, NULL, "Cannot keep the paths");
        c.volumes = volumes;
        creating = create_all(&c, &create);
        deleting = delete_all(&c, &delete);
        printf("{\"creating\": %lu, \"deleting\": %lu, ", (unsigned long) creating,
               (unsigned long) deleting);
        times_print("create", &create);
        printf(", ");
        times_print("delete", &delete);
        printf("}\n");
        times_done(&create);
        times_done(&delete);
}

/* Reads every field of every row, as a program that shows them would. */
static unsigned read_rows(sd_bus_message *m, uint64_t *sum)
{
        const char *path, *name, *key, *format;
        uint64_t capacity, allocation, modified;
        unsigned n = 0;
        int r;

        check(sd_bus_message_enter_container(m, 'a', "(osssttta{sv})"), "Cannot read the list");
        while (check(sd_bus_message_enter_container(m, 'r', "osssttta{sv}"), "Cannot read a row") > 0) {
                r = sd_bus_message_read(m, "osssttt", &path, &name, &key, &format, &capacity, &allocation,
                                        &modified);
                check(r, "Cannot read a row");
                check(sd_bus_message_skip(m, "a{sv}"), "Cannot read a row");
                check(sd_bus_message_exit_container(m), "Cannot read a row");
                *sum += capacity + allocation + modified + (unsigned char) name[0];
                n++;
        }
        check(sd_bus_message_exit_container(m), "Cannot read the list");
        return n;
}

/* All pages; the time of each is kept. */
static unsigned list_once(sd_bus *bus, const char *pool, Times *pages, uint64_t *sum)
{
        _cleanup_free_ char *after = strdup("");
        unsigned n = 0;

        do {
                _cleanup_bus_message_unref_ sd_bus_message *m = NULL, *reply = NULL;
                const char *next;

                m = new_call(bus, STORAGE_NAME, pool, POOL_INTERFACE, "ListVolumes");
                check(isempty(after) ? sd_bus_message_append(m, "a{sv}", 0)
                                     : sd_bus_message_append(m, "a{sv}", 1, "after", "s", after),
                      "Cannot make a call");
                times_add(pages, timed_call(bus, m, &reply));
                n += read_rows(reply, sum);
                check(sd_bus_message_read(reply, "s", &next), "Cannot read the answer");
                check(free_and_strdup(&after, next), "Cannot go on");
        } while (!isempty(after));
        return n;
}

void bench_list(sd_bus *bus, char *argv[])
{
        unsigned count = parse_count(argv[1]), rows = 0;
        Times total = {0}, pages = {0};
        uint64_t sum = 0;

        for (unsigned i = 0; i < count; i++) {
                uint64_t begin = now_monotonic();

                rows = list_once(bus, argv[0], &pages, &sum);
                times_add(&total, now_monotonic() - begin);
        }
        printf("{\"rows\": %u, \"sum\": %lu, ", rows, (unsigned long) sum);
        times_print("total", &total);
        printf(", ");
        times_print("pages", &pages);
        printf("}\n");
        times_done(&total);
        times_done(&pages);
}
