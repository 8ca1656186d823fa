/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* 'secret …': passphrases that volumes are encrypted with. They can be stored, never read. */

#include <fcntl.h>
#include <termios.h>

#include "common/errors.h"
#include "tools/call.h"
#include "tools/report.h"
#include "tools/table.h"

#define VALUE_MAX 4096U

static const Option set_options[] = {
        {"description", "TEXT", OPTION_STRING, "description", "what it is for"},
        {"uuid", "UUID", OPTION_STRING, "uuid", "the UUID that it shall have"},
        {"force", NULL, OPTION_FLAG, "force", "replace one that volumes are encrypted with"},
        {0},
};

static const Option remove_options[] = {
        {"force", NULL, OPTION_FLAG, "force", "even if volumes are encrypted with it"},
        {0},
};

typedef struct Value {
        char bytes[VALUE_MAX + 1];
        size_t n;
} Value;

static void value_done(Value *v)
{
        explicit_bzero(v, sizeof(*v));
}

/* To the end, as it is. */
static int read_value(int fd, Value *v, sd_bus_error *error)
{
        for (;;) {
                ssize_t n = read(fd, v->bytes + v->n, sizeof(v->bytes) - v->n);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set_errno(error, errno, "cannot read the secret");
                v->n += (size_t) n;
                if (v->n > VALUE_MAX)
                        return sd_bus_error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                                 "a secret has %u bytes at most", VALUE_MAX);
                if (n == 0)
                        return 0;
        }
}

/* A line without its end, which is not shown. */
static int ask(int fd, const char *question, Value *v, sd_bus_error *error)
{
        struct termios shown, hidden;
        ssize_t n;

        if (tcgetattr(fd, &shown) < 0)
                return error_set_errno(error, errno, "cannot ask for the secret");
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t) ECHO;
        (void) fprintf(stderr, "%s", question);
        (void) tcsetattr(fd, TCSAFLUSH, &hidden);
        do
                n = read(fd, v->bytes, sizeof(v->bytes));
        while (n < 0 && errno == EINTR);
        (void) tcsetattr(fd, TCSAFLUSH, &shown);
        (void) fputc('\n', stderr);
        if (n <= 0)
                return error_set_errno(error, n < 0 ? errno : ENODATA, "cannot read the secret");
        v->n = (size_t) n - (v->bytes[n - 1] == '\n');
        return 0;
}

static int ask_twice(Value *v, sd_bus_error *error)
{
        _cleanup_(value_done) Value again = {0};
        int r;

        if (!isatty(STDIN_FILENO))
                return sd_bus_error_set(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                        "there is no terminal to ask for the secret: give a file, or '-'");
        r = ask(STDIN_FILENO, "Secret: ", v, error);
        if (r >= 0)
                r = ask(STDIN_FILENO, "The same again: ", &again, error);
        if (r < 0)
                return r;
        if (v->n != again.n || memcmp(v->bytes, again.bytes, v->n) != 0)
                return sd_bus_error_set(error, STORAGE_ERROR_INVALID_ARGUMENT, "the two are not the same");
        return 0;
}

static int get_value(const Args *a, Value *v, sd_bus_error *error)
{
        const char *file = a->n_operands > 1 ? a->operands[1] : NULL;
        _cleanup_close_ int fd = -EBADF;

        if (!file)
                return ask_twice(v, error);
        if (streq(file, "-"))
                return read_value(STDIN_FILENO, v, error);
        fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return error_set_errno(error, errno, "cannot read the file '%s'", file);
        return read_value(fd, v, error);
}

static int secret_set(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_(value_done) Value v = {0};
        int r;

        r = get_value(a, &v, &error);
        if (r >= 0)
                r = call_new(c, STORAGE_PATH, MANAGER_INTERFACE, "SetSecret", &error, &m);
        if (r >= 0)
                r = sd_bus_message_sensitive(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", a->operands[0]);
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', v.bytes, v.n);
        if (r >= 0)
                r = call_options(c, m, a, set_options, false);
        if (r >= 0)
                r = call_send(c, m, &error);
        if (r < 0)
                return report(c, &error, r);
        confirm(c, "Secret %s stored.", a->operands[0]);
        return STATUS_OK;
}

static int remove_one(Context *c, const Args *a, const char *name)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        int r;

        r = call_new(c, STORAGE_PATH, MANAGER_INTERFACE, "RemoveSecret", &error, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", name);
        if (r >= 0)
                r = call_options(c, m, a, remove_options, false);
        if (r >= 0)
                r = call_send(c, m, &error);
        if (r < 0)
                return report(c, &error, r);
        confirm(c, "Secret %s removed.", name);
        return STATUS_OK;
}

static int secret_remove(Context *c, const Args *a)
{
        int status = STATUS_OK;

        for (size_t i = 0; i < a->n_operands; i++) {
                int s = remove_one(c, a, a->operands[i]);

                if (status == STATUS_OK)
                        status = s;
        }
        return status;
}

static int read_secrets(Context *c, const Args *a, json_object **ret, sd_bus_error *error)
{
        static const char *const names[] = {"Usage", "UUID", "Description"};
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL, *reply = NULL;
        int r;

        r = call_new(c, STORAGE_PATH, MANAGER_INTERFACE, "ListSecrets", error, &m);
        if (r >= 0)
                r = call_options(c, m, a, NULL, false);
        if (r >= 0)
                r = sd_bus_call(c->bus, m, CALL_CHANGE_TIMEOUT_USEC, error, &reply);
        return r < 0 ? r : json_read_rows(reply, "sss", names, ELEMENTSOF(names), ret);
}

static int print_secrets(const Context *c, json_object *list)
{
        static const char *const columns[] = {"USAGE", "UUID", "DESCRIPTION"}, *const keys[] = {
                                                                                       "Usage", "UUID",
                                                                                       "Description"};
        _cleanup_(table_freep) Table *t = table_new(columns, ELEMENTSOF(columns));
        int r = t ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < json_object_array_length(list); i++)
                for (size_t k = 0; r >= 0 && k < ELEMENTSOF(keys); k++)
                        r = table_add(t, json_string(json_object_array_get_idx(list, i), keys[k]));
        return r < 0 ? r : table_print(t, stdout, c->legend);
}

static int secret_list(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *list = NULL;
        int r;

        r = read_secrets(c, a, &list, &error);
        if (r >= 0)
                r = c->json ? json_print(list, true) : print_secrets(c, list);
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}

const Command secret_commands[] = {
        {"secret", "set", "USAGE [FILE|-]", "store a secret, which can never be read back", 1, 2, 0,
         set_options, NULL, secret_set},
        {"secret", "list", "", "list the stored secrets, without their values", 0, 0, COMMAND_JSON, NULL,
         NULL, secret_list},
        {"secret", "remove", "USAGE|UUID...", "forget secrets", 1, OPERANDS_MAX, 0, remove_options, NULL,
         secret_remove},
        {0},
};
