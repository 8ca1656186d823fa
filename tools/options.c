/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <grp.h>
#include <pwd.h>

#include "common/bus-dict.h"
#include "common/size.h"
#include "tools/options.h"
#include "tools/suggest.h"

static const Option *option_find(const Args *a, const char *name)
{
        for (size_t t = 0; t < OPTION_TABLES; t++)
                for (const Option *o = a->tables[t]; o && o->name; o++)
                        if (streq(o->name, name))
                                return o;
        return NULL;
}

static int parse_number(const char *text, int base, uint64_t max, uint64_t *ret)
{
        char *end;

        if (*text < '0' || *text > '9')
                return -EINVAL;
        errno = 0;
        *ret = strtoull(text, &end, base);
        return *end || errno || *ret > max ? -EINVAL : 0;
}

static int parse_yes_no(const char *text, uint64_t *ret)
{
        static const char *const yes[] = {"yes", "on", "true", "1"}, *const no[] = {"no", "off", "false",
                                                                                    "0"};

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                if (streq(text, yes[i]) || streq(text, no[i])) {
                        *ret = streq(text, yes[i]);
                        return 0;
                }
        }
        return -EINVAL;
}

static int parse_user(const char *text, uint64_t *ret)
{
        const struct passwd *pw;

        /* UINT32_MAX is "unset" and no user */
        if (parse_number(text, 10, UINT32_MAX - 1, ret) >= 0)
                return 0;
        pw = getpwnam(text);
        if (!pw)
                return -EINVAL;
        *ret = pw->pw_uid;
        return 0;
}

static int parse_group(const char *text, uint64_t *ret)
{
        const struct group *gr;

        if (parse_number(text, 10, UINT32_MAX - 1, ret) >= 0)
                return 0;
        gr = getgrnam(text);
        if (!gr)
                return -EINVAL;
        *ret = gr->gr_gid;
        return 0;
}

/* HOST, HOST:PORT, [ADDRESS] and [ADDRESS]:PORT; an IPv6 address alone has more than one colon. */
static int parse_host(OptionValue *v)
{
        const char *port;

        if (*v->text == '[') {
                const char *end = strchr(v->text, ']');

                if (!end || (end[1] && end[1] != ':'))
                        return -EINVAL;
                port = end[1] ? end + 2 : NULL;
                v->text++;
                v->length = (size_t) (end - v->text);
        } else {
                const char *colon = strchr(v->text, ':');

                if (colon && strchr(colon + 1, ':'))
                        colon = NULL;
                port = colon ? colon + 1 : NULL;
                v->length = colon ? (size_t) (colon - v->text) : strlen(v->text);
        }
        if (v->length == 0)
                return -EINVAL;
        return port ? parse_number(port, 10, UINT16_MAX, &v->number) : 0;
}

static int parse_pair(OptionValue *v)
{
        const char *equals = strchr(v->text, '=');

        if (!equals || equals == v->text)
                return -EINVAL;
        v->length = (size_t) (equals - v->text);
        return 0;
}

static int value_parse(OptionValue *v, const char **ret_wanted)
{
        switch (v->option->kind) {
        case OPTION_FLAG:
                v->number = 1;
                return 0;
        case OPTION_STRING:
        case OPTION_STRINGS:
                return 0;
        case OPTION_YES_NO:
                *ret_wanted = "yes or no";
                return parse_yes_no(v->text, &v->number);
        case OPTION_SIZE:
                *ret_wanted = "a size such as 512, 10G or 1.5TiB";
                return size_parse(v->text, &v->number);
        case OPTION_MODE:
                *ret_wanted = "an octal mode such as 0640";
                return parse_number(v->text, 8, 0777, &v->number);
        case OPTION_USER:
                *ret_wanted = "the name or number of a user";
                return parse_user(v->text, &v->number);
        case OPTION_GROUP:
                *ret_wanted = "the name or number of a group";
                return parse_group(v->text, &v->number);
        case OPTION_NUMBER:
                *ret_wanted = "a whole number";
                return parse_number(v->text, 10, UINT32_MAX, &v->number);
        case OPTION_HOSTS:
                *ret_wanted = "HOST or HOST:PORT";
                return parse_host(v);
        case OPTION_PAIRS:
                *ret_wanted = "KEY=VALUE";
                return parse_pair(v);
        }
        return -EINVAL;
}

static int message(char **ret, const char *format, ...) _printf_(2, 3);

static int message(char **ret, const char *format, ...)
{
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(ret, format, ap);
        va_end(ap);
        return n < 0 ? -ENOMEM : -EINVAL;
}

/* What getopt_long() said '?' to: argv[optind - 1] for long options, optopt for letters and ambiguity. */
static int unknown_option(const Args *a, const char *word, char **ret_message)
{
        const char *names[128], *nearest;
        _cleanup_free_ char *name = NULL;
        size_t n = 0;

        if (!startswith(word, "--"))
                return message(ret_message, "unknown option '%s'", word);
        name = strndup(word + 2, strcspn(word + 2, "="));
        if (!name)
                return -ENOMEM;
        if (option_find(a, name))
                return message(ret_message, "option '--%s' takes no value", name);
        for (size_t t = 0; t < OPTION_TABLES; t++)
                for (const Option *o = a->tables[t]; o && o->name && n < ELEMENTSOF(names); o++)
                        names[n++] = o->name;
        nearest = suggest_nearest(name, names, n);
        if (nearest)
                return message(ret_message, "unknown option '--%s'; did you mean '--%s'?", name, nearest);
        return message(ret_message, "unknown option '--%s'", name);
}

static int args_add(Args *a, const Option *option, const char *text, char **ret_message)
{
        OptionValue v = {.option = option, .text = text}, *values;
        const char *wanted = "a value";

        if (value_parse(&v, &wanted) < 0)
                return message(ret_message, "option '--%s' wants %s, not '%s'", option->name, wanted, text);
        values = reallocarray(a->values, a->n_values + 1, sizeof(*values));
        if (!values)
                return -ENOMEM;
        a->values = values;
        values[a->n_values++] = v;
        return 0;
}

static int args_getopt(Args *a, int argc, char **argv, const struct option *longs, char **ret_message)
{
        int letter, index, r;

        optind = 0; /* glibc: begin anew */
        opterr = 0;
        while ((letter = getopt_long(argc, argv, ":hq", longs, &index)) >= 0) {
                const char *name;

                if (letter == '?')
                        return unknown_option(a, argv[optind - 1], ret_message);
                if (letter == ':')
                        return message(ret_message, "option '%s' wants a value", argv[optind - 1]);
                name = letter == 'h' ? "help" : letter == 'q' ? "quiet" : longs[index].name;
                r = args_add(a, option_find(a, name), optarg, ret_message);
                if (r < 0)
                        return r;
        }
        a->operands = argv + optind;
        a->n_operands = (size_t) (argc - optind);
        return 0;
}

int args_parse(Args *a, int argc, char **argv, char **ret_message)
{
        _cleanup_free_ struct option *longs = NULL;
        size_t n = 0;

        for (size_t t = 0; t < OPTION_TABLES; t++)
                for (const Option *o = a->tables[t]; o && o->name; o++)
                        n++;
        longs = calloc(n + 1, sizeof(*longs));
        if (!longs)
                return -ENOMEM;
        n = 0;
        for (size_t t = 0; t < OPTION_TABLES; t++)
                for (const Option *o = a->tables[t]; o && o->name; o++)
                        longs[n++] = (struct option){o->name, o->value ? required_argument : no_argument};
        return args_getopt(a, argc, argv, longs, ret_message);
}

void args_done(Args *a)
{
        free(a->values);
        *a = (Args){0};
}

const OptionValue *args_find(const Args *a, const char *name)
{
        for (size_t i = a->n_values; i > 0; i--)
                if (streq(a->values[i - 1].option->name, name))
                        return &a->values[i - 1];
        return NULL;
}

bool args_has_keys(const Args *a, const Option *table)
{
        for (const Option *o = table; o->name; o++)
                if (o->key && args_has(a, o->name))
                        return true;
        return false;
}

static int append_host(sd_bus_message *m, const OptionValue *v)
{
        _cleanup_free_ char *host = strndup(v->text, v->length);

        return host ? sd_bus_message_append(m, "(sq)", host, (int) v->number) : -ENOMEM;
}

static int append_pair(sd_bus_message *m, const OptionValue *v)
{
        _cleanup_free_ char *key = strndup(v->text, v->length);

        return key ? sd_bus_message_append(m, "{ss}", key, v->text + v->length + 1) : -ENOMEM;
}

/* All values of an option that may be repeated, as one array. */
static int append_array(const Args *a, const Option *o, sd_bus_message *m)
{
        const char *contents = o->kind == OPTION_HOSTS ? "(sq)" : o->kind == OPTION_PAIRS ? "{ss}" : "s";
        char signature[8];
        int r;

        (void) snprintf(signature, sizeof(signature), "a%s", contents);
        r = sd_bus_message_open_container(m, 'v', signature);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', contents);
        for (size_t i = 0; r >= 0 && i < a->n_values; i++) {
                const OptionValue *v = &a->values[i];

                if (v->option != o)
                        continue;
                r = o->kind == OPTION_HOSTS   ? append_host(m, v)
                    : o->kind == OPTION_PAIRS ? append_pair(m, v)
                                              : sd_bus_message_append_basic(m, 's', v->text);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r;
}

static int append_value(const Args *a, const Option *o, sd_bus_message *m)
{
        const OptionValue *v = args_find(a, o->name);

        switch (o->kind) {
        case OPTION_STRING:
                return sd_bus_message_append(m, "v", "s", v->text);
        case OPTION_FLAG:
        case OPTION_YES_NO:
                return sd_bus_message_append(m, "v", "b", (int) v->number);
        case OPTION_SIZE:
                return sd_bus_message_append(m, "v", "t", v->number);
        case OPTION_MODE:
        case OPTION_USER:
        case OPTION_GROUP:
        case OPTION_NUMBER:
                return sd_bus_message_append(m, "v", "u", (uint32_t) v->number);
        case OPTION_STRINGS:
        case OPTION_HOSTS:
        case OPTION_PAIRS:
                return append_array(a, o, m);
        }
        return -EINVAL;
}

bool option_is_of_key(const Option *o, const char *key)
{
        size_t n = strlen(key);

        return o->key && strncmp(o->key, key, n) == 0 && (o->key[n] == 0 || o->key[n] == '/');
}

static int append_entry(const Args *a, const Option *o, const char *key, sd_bus_message *m)
{
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', key);
        if (r >= 0)
                r = append_value(a, o, m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The first option that was given of a key with parts: all of that key. *ret is the last one. */
static int append_parts(const Args *a, const Option *o, sd_bus_message *m, const Option **ret)
{
        _cleanup_free_ char *key = strndup(o->key, strcspn(o->key, "/"));
        int r = key ? 0 : -ENOMEM;

        if (r >= 0)
                r = bus_dict_open_array(m, key, "a{sv}");
        for (; r >= 0 && o->name && option_is_of_key(o, key); o++) {
                if (args_has(a, o->name))
                        r = append_entry(a, o, strchr(o->key, '/') + 1, m);
                *ret = o;
        }
        return r < 0 ? r : bus_dict_close_array(m);
}

int args_append(const Args *a, const Option *table, sd_bus_message *m)
{
        int r = 0;

        for (const Option *o = table; r >= 0 && o && o->name; o++) {
                if (!o->key || !args_has(a, o->name))
                        continue;
                r = strchr(o->key, '/') ? append_parts(a, o, m, &o) : append_entry(a, o, o->key, m);
        }
        return r;
}
