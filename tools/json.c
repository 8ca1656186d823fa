/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/json.h"

int json_set(json_object *o, const char *key, json_object *value)
{
        if (json_object_object_add(o, key, value) < 0) {
                (void) json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

int json_set_string(json_object *o, const char *key, const char *value)
{
        json_object *s = json_object_new_string(value);

        return s ? json_set(o, key, s) : -ENOMEM;
}

static int read_string(sd_bus_message *m, char type, json_object **ret)
{
        const char *s;
        int r = sd_bus_message_read_basic(m, type, &s);

        if (r < 0)
                return r;
        *ret = json_object_new_string(s);
        return *ret ? 0 : -ENOMEM;
}

static int read_number(sd_bus_message *m, char type, json_object **ret)
{
        union {
                uint8_t y;
                int b;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                double d;
        } v;
        int r = sd_bus_message_read_basic(m, type, &v);

        if (r < 0)
                return r;
        switch (type) {
        case 'y':
                *ret = json_object_new_int(v.y);
                break;
        case 'b':
                *ret = json_object_new_boolean(v.b);
                break;
        case 'n':
                *ret = json_object_new_int(v.n);
                break;
        case 'q':
                *ret = json_object_new_int(v.q);
                break;
        case 'i':
                *ret = json_object_new_int(v.i);
                break;
        case 'u':
                *ret = json_object_new_int64(v.u);
                break;
        case 'x':
                *ret = json_object_new_int64(v.x);
                break;
        case 't':
                *ret = json_object_new_uint64(v.t);
                break;
        case 'd':
                *ret = json_object_new_double(v.d);
                break;
        default:
                return -EBADMSG;
        }
        return *ret ? 0 : -ENOMEM;
}

/* Adds the entries of a dictionary (m is inside of the array) to o. */
static int read_entries(sd_bus_message *m, const char *contents, json_object *o)
{
        char inside[256];
        int r;

        /* contents is "{sv}": what is between the braces */
        (void) snprintf(inside, sizeof(inside), "%.*s", (int) strlen(contents) - 2, contents + 1);
        while ((r = sd_bus_message_enter_container(m, 'e', inside)) > 0) {
                json_object *value = NULL;
                const char *key;

                r = sd_bus_message_read_basic(m, inside[0], &key);
                if (r >= 0)
                        r = json_read(m, &value);
                if (r >= 0)
                        r = json_set(o, key, value);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r;
}

static int read_items(sd_bus_message *m, json_object *array)
{
        int r;

        while ((r = sd_bus_message_at_end(m, false)) == 0) {
                json_object *item = NULL;

                r = json_read(m, &item);
                if (r < 0)
                        return r;
                if (json_object_array_add(array, item) < 0) {
                        (void) json_object_put(item);
                        return -ENOMEM;
                }
        }
        return r < 0 ? r : 0;
}

static int read_container(sd_bus_message *m, char type, const char *contents, json_object **ret)
{
        _cleanup_json_ json_object *o = NULL;
        bool dict = type == 'a' && contents[0] == '{' && strchr("sog", contents[1]);
        int r;

        r = sd_bus_message_enter_container(m, type, contents);
        if (r < 0)
                return r;
        if (type == 'v') {
                r = json_read(m, &o);
        } else {
                o = dict ? json_object_new_object() : json_object_new_array();
                if (!o)
                        return -ENOMEM;
                r = dict ? read_entries(m, contents, o) : read_items(m, o);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

int json_read(sd_bus_message *m, json_object **ret)
{
        const char *contents;
        char type;
        int r;

        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r <= 0)
                return r < 0 ? r : -EBADMSG;
        switch (type) {
        case 's':
        case 'o':
        case 'g':
                return read_string(m, type, ret);
        case 'a':
        case 'r':
        case 'e':
        case 'v':
                return read_container(m, type, contents, ret);
        case 'h': /* a descriptor has no meaning in JSON */
                *ret = NULL;
                return sd_bus_message_skip(m, "h");
        default:
                return read_number(m, type, ret);
        }
}

static int read_rest(sd_bus_message *m, json_object *o)
{
        const char *contents;
        char type;
        int r;

        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r <= 0)
                return r;
        if (type != 'a' || contents[0] != '{')
                return -EBADMSG;
        r = sd_bus_message_enter_container(m, type, contents);
        if (r >= 0)
                r = read_entries(m, contents, o);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int json_read_struct(sd_bus_message *m, const char *contents, const char *const *names, size_t n_names,
                     json_object **ret)
{
        _cleanup_json_ json_object *o = NULL;
        int r;

        *ret = NULL;
        r = sd_bus_message_enter_container(m, 'r', contents);
        if (r <= 0)
                return r < 0 ? r : 1;
        o = json_object_new_object();
        if (!o)
                return -ENOMEM;
        for (size_t i = 0; i < n_names; i++) {
                json_object *value = NULL;

                r = json_read(m, &value);
                if (r >= 0)
                        r = json_set(o, names[i], value);
                if (r < 0)
                        return r;
        }
        r = read_rest(m, o);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

int json_read_rows(sd_bus_message *m, const char *contents, const char *const *names, size_t n_names,
                   json_object **ret)
{
        _cleanup_json_ json_object *rows = json_object_new_array();
        char row[64];
        json_object *o;
        int r;

        if (!rows)
                return -ENOMEM;
        (void) snprintf(row, sizeof(row), "(%s)", contents);
        r = sd_bus_message_enter_container(m, 'a', row);
        while (r >= 0 && (r = json_read_struct(m, contents, names, n_names, &o)) == 0)
                if (json_object_array_add(rows, o) < 0) {
                        (void) json_object_put(o);
                        return -ENOMEM;
                }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(rows);
        return 0;
}

const char *json_string(json_object *o, const char *key)
{
        json_object *v;

        return json_object_object_get_ex(o, key, &v) && v ? strempty(json_object_get_string(v)) : "";
}

uint64_t json_number(json_object *o, const char *key)
{
        json_object *v;

        return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

bool json_truth(json_object *o, const char *key)
{
        json_object *v;

        return json_object_object_get_ex(o, key, &v) && json_object_get_boolean(v);
}

int json_print(json_object *o, bool pretty)
{
        int flags = JSON_C_TO_STRING_NOSLASHESCAPE |
                    (pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PLAIN);

        (void) puts(json_object_to_json_string_ext(o, flags));
        return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}
