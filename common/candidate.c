/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/candidate.h"

#include "common/bus-dict.h"

/* Its members by their key, and where they are. */
static const struct {
        const char *key;
        char type; /* l: a list of strings */
        size_t offset;
} keys[] = {
        {"source-devices", 'l', offsetof(Candidate, devices)},
        {"links", 'l', offsetof(Candidate, links)},
        {"source-name", 's', offsetof(Candidate, name)},
        {"source-format", 's', offsetof(Candidate, format)},
        {"size", 't', offsetof(Candidate, size)},
        {"vendor", 's', offsetof(Candidate, vendor)},
        {"model", 's', offsetof(Candidate, model)},
        {"serial", 's', offsetof(Candidate, serial)},
        {"removable", 'b', offsetof(Candidate, removable)},
        {"read-only", 'b', offsetof(Candidate, read_only)},
        {"contents", 's', offsetof(Candidate, contents)},
        {"used-by", 's', offsetof(Candidate, used_by)},
        {"used-by-pool", 's', offsetof(Candidate, used_by_pool)},
        {"unsuitable", 's', offsetof(Candidate, unsuitable)},
};

void candidate_done(Candidate *c)
{
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                char *p = (char *) c + keys[i].offset;

                if (keys[i].type == 's')
                        free(*(char **) p);
                else if (keys[i].type == 'l')
                        strv_free(*(char ***) p);
        }
        *c = (Candidate){0};
}

/* What devices say of themselves may be no UTF-8, which fails a whole message. */
static int append_text(sd_bus_message *m, const char *key, const char *value)
{
        _cleanup_free_ char *valid = NULL;
        int r;

        if (isempty(value))
                return 0;
        r = utf8_make_valid(value, strlen(value), &valid);
        return r < 0 ? r : sd_bus_message_append(m, "{sv}", key, "s", valid);
}

static int append_list(sd_bus_message *m, const char *key, char *const *list)
{
        char *const *s;
        int r;

        if (!list || !list[0])
                return 0;
        r = bus_dict_open_array(m, key, "as");
        STRV_FOREACH (s, list) {
                if (r >= 0)
                        r = sd_bus_message_append(m, "s", *s);
        }
        return r < 0 ? r : bus_dict_close_array(m);
}

static int append_key(const Candidate *c, size_t i, sd_bus_message *m)
{
        const char *p = (const char *) c + keys[i].offset, *key = keys[i].key;

        switch (keys[i].type) {
        case 'l':
                return append_list(m, key, *(char **const *) p);
        case 's':
                return append_text(m, key, *(char *const *) p);
        case 't': {
                uint64_t t = *(const uint64_t *) p;

                return t ? sd_bus_message_append(m, "{sv}", key, "t", t) : 0;
        }
        default:
                return *(const bool *) p ? sd_bus_message_append(m, "{sv}", key, "b", 1) : 0;
        }
}

int candidate_append(const Candidate *c, sd_bus_message *m)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(keys); i++)
                r = append_key(c, i, m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int read_list(sd_bus_message *m, char ***ret)
{
        const char *s;
        int r;

        r = bus_dict_enter_array(m, "as");
        while (r >= 0 && (r = sd_bus_message_read_basic(m, 's', &s)) > 0)
                r = strv_extend(ret, s);
        return r < 0 ? r : bus_dict_exit_array(m);
}

static int read_key(sd_bus_message *m, size_t i, Candidate *c)
{
        char *p = (char *) c + keys[i].offset;
        const char *s;
        int r, b;

        switch (keys[i].type) {
        case 'l':
                return read_list(m, (char ***) p);
        case 's':
                r = sd_bus_message_read(m, "v", "s", &s);
                return r < 0 ? r : free_and_strdup((char **) p, s);
        case 't':
                return sd_bus_message_read(m, "v", "t", p);
        default:
                r = sd_bus_message_read(m, "v", "b", &b);
                if (r >= 0)
                        *(bool *) p = b;
                return r;
        }
}

static int read_entry(sd_bus_message *m, const char *key, void *userdata)
{
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                if (streq(keys[i].key, key))
                        return read_key(m, i, userdata);
        }
        return sd_bus_message_skip(m, "v");
}

int candidate_read(sd_bus_message *m, Candidate *ret)
{
        Candidate c = {0};
        int r;

        r = sd_bus_message_at_end(m, false);
        if (r != 0)
                return r < 0 ? r : 0;
        r = bus_dict_read(m, read_entry, &c);
        if (r < 0) {
                candidate_done(&c);
                return r;
        }
        *ret = c;
        return 1;
}
