/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <time.h>

#include "common/size.h"
#include "tools/event.h"
#include "tools/object-name.h"

void event_done(Event *e)
{
        free(e->name);
        (void) json_object_put(e->properties);
        *e = (Event){0};
}

static const struct {
        const char *interface, *kind;
} kinds[] = {
        {POOL_INTERFACE, "pool"},
        {VOLUME_INTERFACE, "volume"},
        {JOB_INTERFACE, "job"},
};

static const char *kind_of(const char *interface)
{
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (streq(interface, kinds[i].interface))
                        return kinds[i].kind;
        return NULL;
}

static int fill(Event *e, json_object *names, const char *kind, const char *what, const char *path,
                json_object *properties)
{
        char *name = object_name(names, path);

        *e = (Event){.kind = kind, .what = what, .path = path, .name = name, .properties = properties};
        if (name)
                return 1;
        event_done(e);
        return -ENOMEM;
}

static int from_added(sd_bus_message *m, json_object *names, Event *ret)
{
        _cleanup_json_ json_object *interfaces = NULL;
        const char *path;
        int r;

        r = sd_bus_message_read(m, "o", &path);
        if (r >= 0)
                r = json_read(m, &interfaces);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                json_object *properties;

                if (!json_object_object_get_ex(interfaces, kinds[i].interface, &properties))
                        continue;
                if (streq(kinds[i].kind, "pool") &&
                    (r = json_set_string(names, path, json_string(properties, "Name"))) < 0)
                        return r;
                return fill(ret, names, kinds[i].kind, "added", path, json_object_get(properties));
        }
        return 0;
}

static int from_removed(sd_bus_message *m, json_object *names, Event *ret)
{
        const char *path, *interface, *kind = NULL;
        int r;

        r = sd_bus_message_read(m, "o", &path);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "s");
        while (r >= 0 && !kind && (r = sd_bus_message_read(m, "s", &interface)) > 0)
                kind = kind_of(interface);
        if (r < 0 || !kind)
                return r < 0 ? r : 0;
        r = fill(ret, names, kind, "removed", path, NULL);
        if (streq(kind, "pool"))
                json_object_object_del(names, path);
        return r;
}

static int from_changed(sd_bus_message *m, json_object *names, Event *ret)
{
        json_object *properties = NULL;
        const char *interface, *kind;
        int r;

        r = sd_bus_message_read(m, "s", &interface);
        if (r < 0)
                return r;
        kind = kind_of(interface);
        if (!kind)
                return 0;
        r = json_read(m, &properties);
        return r < 0 ? r : fill(ret, names, kind, "changed", sd_bus_message_get_path(m), properties);
}

/* The arguments of a signal of ours by their names; takes the rest of m. */
static int read_arguments(sd_bus_message *m, const char *const *keys, size_t n, json_object **ret)
{
        _cleanup_json_ json_object *o = json_object_new_object();

        if (!o)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                json_object *value = NULL;
                int r = json_read(m, &value);

                if (r >= 0)
                        r = json_set(o, keys[i], value);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(o);
        return 0;
}

static int from_own(sd_bus_message *m, json_object *names, Event *ret)
{
        static const char *const generation[] = {"Generation"};
        static const char *const completed[] = {"Success", "ErrorName", "ErrorMessage", "Result"};
        static const struct {
                const char *interface, *member, *kind, *what;
                const char *const *keys;
                size_t n_keys;
        } signals[] = {
                {POOL_INTERFACE, "Refreshed", "pool", "refreshed", generation, ELEMENTSOF(generation)},
                {POOL_INTERFACE, "VolumesReset", "pool", "reset", generation, ELEMENTSOF(generation)},
                {JOB_INTERFACE, "Completed", "job", "completed", completed, ELEMENTSOF(completed)},
        };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                json_object *arguments = NULL;
                int r;

                if (!sd_bus_message_is_signal(m, signals[i].interface, signals[i].member))
                        continue;
                r = read_arguments(m, signals[i].keys, signals[i].n_keys, &arguments);
                return r < 0 ? r
                             : fill(ret, names, signals[i].kind, signals[i].what, sd_bus_message_get_path(m),
                                    arguments);
        }
        return 0;
}

static int from_owner(sd_bus_message *m, json_object *names, Event *ret)
{
        const char *name, *new_owner;
        int r;

        r = sd_bus_message_read(m, "sss", &name, NULL, &new_owner);
        if (r < 0 || !streq(name, STORAGE_BUS_NAME))
                return r < 0 ? r : 0;
        r = fill(ret, names, "service", *new_owner ? "started" : "stopped", STORAGE_PATH, NULL);
        return r < 0 ? r : free_and_strdup(&ret->name, STORAGE_BUS_NAME) < 0 ? -ENOMEM : 1;
}

int event_from_signal(sd_bus_message *m, json_object *names, Event *ret)
{
        if (sd_bus_message_is_signal(m, "org.freedesktop.DBus", "NameOwnerChanged"))
                return from_owner(m, names, ret);
        if (sd_bus_message_is_signal(m, OBJECT_MANAGER_INTERFACE, "InterfacesAdded"))
                return from_added(m, names, ret);
        if (sd_bus_message_is_signal(m, OBJECT_MANAGER_INTERFACE, "InterfacesRemoved"))
                return from_removed(m, names, ret);
        if (sd_bus_message_is_signal(m, PROPERTIES_INTERFACE, "PropertiesChanged"))
                return from_changed(m, names, ret);
        return from_own(m, names, ret);
}

static int print_as_json(const Event *e)
{
        _cleanup_json_ json_object *o = json_object_new_object();
        int r;

        if (!o)
                return -ENOMEM;
        r = json_set(o, "Time", json_object_new_uint64(now_realtime()));
        if (r >= 0)
                r = json_set_string(o, "Kind", e->kind);
        if (r >= 0)
                r = json_set_string(o, "Event", e->what);
        if (r >= 0)
                r = json_set_string(o, "Name", e->name);
        if (r >= 0)
                r = json_set_string(o, "ObjectPath", e->path);
        if (r >= 0)
                r = json_set(o, "Properties",
                             e->properties ? json_object_get(e->properties) : json_object_new_object());
        return r < 0 ? r : json_print(o, false);
}

static bool is_size(const char *name)
{
        static const char *const sizes[] = {"Capacity",  "Allocation", "Available", "Physical",
                                            "BytesDone", "BytesTotal", "Rate"};

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                if (streq(name, sizes[i]))
                        return true;
        return false;
}

/* Of something new, what a list would show of it; of something changed, all that changed. */
static bool is_shown(const Event *e, const char *name)
{
        static const char *const shown[] = {"Type", "State", "Format", "Capacity", "Operation"};

        if (!streq(e->what, "added"))
                return true;
        for (size_t i = 0; i < ELEMENTSOF(shown); i++)
                if (streq(name, shown[i]))
                        return true;
        return false;
}

static void print_properties(const Event *e)
{
        json_object_object_foreach(e->properties, name, value)
        {
                _cleanup_free_ char *clean = NULL;
                char size[SIZE_BUFSIZE];
                const char *text;

                if (!is_shown(e, name))
                        continue;
                text = is_size(name) ? size_format(size, json_object_get_uint64(value))
                       : json_object_is_type(value, json_type_string)
                               ? json_object_get_string(value)
                               : json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE);
                if (utf8_make_valid(text, strlen(text), &clean) >= 0)
                        (void) printf("  %s=%s", name, clean);
        }
}

int event_print(const Event *e, bool as_json)
{
        uint64_t now = now_realtime();
        time_t seconds = (time_t) (now / USEC_PER_SEC);
        char text[16] = "";
        struct tm tm;

        if (as_json)
                return print_as_json(e);
        if (localtime_r(&seconds, &tm))
                (void) strftime(text, sizeof(text), "%T", &tm);
        (void) printf("%s.%03u  %-7s  %-9s  %s", text, (unsigned) (now % USEC_PER_SEC / USEC_PER_MSEC),
                      e->kind, e->what, e->name);
        if (e->properties)
                print_properties(e);
        (void) putchar('\n');
        return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}
