/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>

#include "common/errors.h"
#include "common/pool-def.h"
#include "tools/agent.h"
#include "tools/call.h"

/* Long enough that quick work needs no job, short enough that nobody waits without seeing why. */
#define SHORT_WAIT_USEC (250 * USEC_PER_MSEC)

int context_connect(Context *c, sd_bus_error *error)
{
        const char *which = c->user ? "session" : "system";
        int r;

        if (c->bus)
                return 0;
        r = c->user ? sd_bus_open_user(&c->bus) : sd_bus_open_system(&c->bus);
        if (r < 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_NO_SERVER, "cannot reach the %s bus: %s", which,
                                         strerror(-r));
        return sd_bus_set_allow_interactive_authorization(c->bus, c->ask_password);
}

void context_done(Context *c)
{
        agent_stop(c);
        c->bus = sd_bus_flush_close_unref(c->bus);
}

int call_read(Context *c, const char *path, const char *interface, const char *member, sd_bus_error *error,
              sd_bus_message **ret_reply, const char *types, ...)
{
        va_list ap;
        int r;

        r = context_connect(c, error);
        if (r < 0)
                return r;
        va_start(ap, types);
        r = sd_bus_call_methodv(c->bus, STORAGE_BUS_NAME, path, interface, member, error, ret_reply, types,
                                ap);
        va_end(ap);
        return r;
}

int call_new(Context *c, const char *path, const char *interface, const char *member, sd_bus_error *error,
             sd_bus_message **ret)
{
        int r;

        r = context_connect(c, error);
        if (r < 0)
                return r;
        agent_start(c);
        return sd_bus_message_new_method_call(c->bus, ret, STORAGE_BUS_NAME, path, interface, member);
}

int call_append_wait(const Context *c, sd_bus_message *m)
{
        return sd_bus_message_append(m, "{sv}", "wait", "t", c->wait ? SHORT_WAIT_USEC : UINT64_C(0));
}

int call_options(Context *c, sd_bus_message *m, const Args *a, const Option *table, bool takes_wait)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && table)
                r = args_append(a, table, m);
        if (r >= 0 && takes_wait)
                r = call_append_wait(c, m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int call_send(Context *c, sd_bus_message *m, sd_bus_error *error)
{
        return sd_bus_call(c->bus, m, CALL_CHANGE_TIMEOUT_USEC, error, NULL);
}

/* Calls a method that takes a string and answers an object path. */
static int find(Context *c, const char *path, const char *interface, const char *member, const char *what,
                char **ret, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        const char *found;
        int r;

        r = call_read(c, path, interface, member, error, &reply, "s", what);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &found);
        return r < 0 ? r : free_and_strdup(ret, found);
}

int find_pool(Context *c, const char *pool, char **ret, sd_bus_error *error)
{
        sd_id128_t id;
        int r;

        if (sd_id128_from_string(pool, &id) >= 0) {
                _cleanup_bus_error_free_ sd_bus_error by_uuid = SD_BUS_ERROR_NULL;

                r = find(c, STORAGE_PATH, MANAGER_INTERFACE, "GetPoolByUUID", pool, ret, &by_uuid);
                if (r >= 0 || !sd_bus_error_has_name(&by_uuid, STORAGE_ERROR_NOT_FOUND))
                        return r < 0 ? sd_bus_error_move(error, &by_uuid) : r;
        }
        return find(c, STORAGE_PATH, MANAGER_INTERFACE, "GetPoolByName", pool, ret, error);
}

static int check_pool_of(Context *c, const char *pool_path, const char *volume, const char *path,
                         sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        const char *pool;
        int r;

        r = sd_bus_get_property(c->bus, STORAGE_BUS_NAME, path, VOLUME_INTERFACE, "Pool", error, &reply,
                                "o");
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &pool);
        if (r < 0)
                return r;
        if (!streq(pool, pool_path))
                return sd_bus_error_setf(error, STORAGE_ERROR_NOT_FOUND,
                                         "the volume '%s' exists, but in another pool than the one given",
                                         volume);
        return 0;
}

int find_volume(Context *c, const char *pool_path, const char *volume, char **ret, sd_bus_error *error)
{
        _cleanup_free_ char *path = NULL;
        int r;

        if (*volume != '/')
                return find(c, pool_path, POOL_INTERFACE, "GetVolume", volume, ret, error);
        r = find(c, STORAGE_PATH, MANAGER_INTERFACE, "GetVolumeByPath", volume, &path, error);
        if (r >= 0 && pool_path)
                r = check_pool_of(c, pool_path, volume, path, error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(path);
        return 0;
}

size_t volume_operands(const Args *a)
{
        return a->n_operands > 0 && a->operands[0][0] == '/' ? 1 : 2;
}

int find_volume_operands(Context *c, const Args *a, char **ret, size_t *ret_used, sd_bus_error *error)
{
        _cleanup_free_ char *pool = NULL;
        int r;

        *ret_used = volume_operands(a);
        if (*ret_used == 1)
                return find_volume(c, NULL, a->operands[0], ret, error);
        r = find_pool(c, a->operands[0], &pool, error);
        return r < 0 ? r : find_volume(c, pool, a->operands[1], ret, error);
}

int read_object(Context *c, const char *path, const char *interface, json_object **ret, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        _cleanup_json_ json_object *o = NULL, *properties = NULL;
        int r;

        r = call_read(c, path, PROPERTIES_INTERFACE, "GetAll", error, &reply, "s", interface);
        if (r >= 0)
                r = json_read(reply, &properties);
        if (r < 0)
                return r;
        o = json_object_new_object();
        if (!o)
                return -ENOMEM;
        r = json_set_string(o, "ObjectPath", path);
        json_object_object_foreach(properties, key, value)
        {
                if (r >= 0)
                        r = json_set(o, key, json_object_get(value));
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

int read_root(Context *c, json_object **ret, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        int r;

        r = call_read(c, STORAGE_PATH, OBJECT_MANAGER_INTERFACE, "GetManagedObjects", error, &reply, "");
        return r < 0 ? r : json_read(reply, ret);
}

int read_pools(Context *c, const Args *a, const Option *table, json_object **ret, sd_bus_error *error)
{
        static const char *const names[] = {"ObjectPath", "Name",      "Type",       "State",
                                            "Health",     "Autostart", "Persistent", "Capacity",
                                            "Allocation", "Available"};
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL, *reply = NULL;
        int r;

        r = context_connect(c, error);
        if (r >= 0)
                r = sd_bus_message_new_method_call(c->bus, &m, STORAGE_BUS_NAME, STORAGE_PATH,
                                                   MANAGER_INTERFACE, "ListPools");
        if (r >= 0)
                r = call_options(c, m, a, table, false);
        if (r >= 0)
                r = sd_bus_call(c->bus, m, 0, error, &reply);
        return r < 0 ? r : json_read_rows(reply, "ossssbbttta{sv}", names, ELEMENTSOF(names), ret);
}

int print_text(Context *c, const char *path, const char *interface, const char *member, const Args *a,
               const Option *table, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL, *reply = NULL;
        const char *text;
        int r;

        r = sd_bus_message_new_method_call(c->bus, &m, STORAGE_BUS_NAME, path, interface, member);
        if (r >= 0)
                r = call_options(c, m, a, table, false);
        if (r >= 0)
                r = sd_bus_call(c->bus, m, 0, error, &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "s", &text);
        if (r < 0)
                return r;
        (void) printf("%s%s", text, *text && text[strlen(text) - 1] == '\n' ? "" : "\n");
        return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}

int read_file(const char *name, char **ret, sd_bus_error *error)
{
        _cleanup_fclose_ FILE *f = streq(name, "-") ? fdopen(dup(STDIN_FILENO), "r") : fopen(name, "re");
        _cleanup_free_ char *text = NULL;
        size_t n;

        if (!f)
                return error_set_errno(error, errno, "cannot read the file '%s'", name);
        text = malloc(DEF_XML_MAX + 2);
        if (!text)
                return -ENOMEM;
        n = fread(text, 1, DEF_XML_MAX + 1, f);
        if (ferror(f))
                return error_set_errno(error, errno, "cannot read the file '%s'", name);
        if (n > DEF_XML_MAX)
                return sd_bus_error_setf(error, STORAGE_ERROR_INVALID_XML,
                                         "the file '%s' is larger than %u bytes, which no definition is",
                                         name, DEF_XML_MAX);
        text[n] = '\0';
        if (strlen(text) != n || !utf8_is_valid(text))
                return sd_bus_error_setf(error, STORAGE_ERROR_INVALID_XML, "the file '%s' is not UTF-8 text",
                                         name);
        *ret = TAKE_PTR(text);
        return 0;
}
