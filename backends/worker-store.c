/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/store-file.h"
#include "backends/worker.h"

static bool tool_is_installed(const char *tool)
{
        static const char *const folders[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

        for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
                char path[256];

                (void) snprintf(path, sizeof(path), "%s/%s", folders[i], tool);
                if (access(path, X_OK) >= 0)
                        return true;
        }
        return false;
}

static int missing_tools(const Backend *backend, char ***ret)
{
        _cleanup_strv_free_ char **missing = NULL;

        for (const char *const *tool = backend->tools; tool && *tool; tool++) {
                int r = tool_is_installed(*tool) ? 0 : strv_extend(&missing, *tool);

                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(missing);
        return 0;
}

static int append_backend(const Backend *backend, sd_bus_message *m)
{
        _cleanup_strv_free_ char **operations = NULL, **missing = NULL;
        int r;

        r = backend_operations(backend, &operations);
        if (r < 0)
                return r;
        r = missing_tools(backend, &missing);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'r', "sasas");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", pool_type_to_string(backend->type));
        if (r < 0)
                return r;
        r = sd_bus_message_append_strv(m, operations);
        if (r < 0)
                return r;
        r = sd_bus_message_append_strv(m, missing);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int method_describe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        const Backend *backend;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(sasas)");
        if (r < 0)
                return r;
        for (size_t i = 0; (backend = backend_get(i)); i++) {
                /* Who runs this in a session cannot be offered it. */
                if (backend->needs_root && geteuid() != 0)
                        continue;
                r = append_backend(backend, reply);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int hex_digit(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A secret: there is no copy of it afterwards. */
static int write_hex(const char *path, const char *hex, unsigned mode)
{
        size_t n = strlen(hex) / 2;
        _cleanup_free_ char *bytes = malloc(n + 1);
        int r = bytes && strlen(hex) % 2 == 0 ? 0 : -EINVAL;

        for (size_t i = 0; r >= 0 && i < n; i++) {
                int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

                bytes[i] = (char) (high * 16 + low);
                r = high < 0 || low < 0 ? -EINVAL : 0;
        }
        if (r >= 0)
                r = store_file_write(path, bytes, n, mode);
        if (bytes)
                explicit_bzero(bytes, n);
        return r;
}

static int apply(const char *op, const char *path, const char *content, unsigned mode, sd_bus_error *error)
{
        int r;

        if (streq(op, "write"))
                r = store_file_write(path, content, strlen(content), mode & 0777);
        else if (streq(op, "write-hex"))
                r = write_hex(path, content, mode & 0777);
        else if (streq(op, "link"))
                r = store_file_link(path, content);
        else if (streq(op, "remove"))
                r = store_file_remove(path);
        else
                return sd_bus_error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                         "There is no change '%s' to files", op);
        return r < 0 ? error_set_errno(error, r, "Cannot %s %s", op, path) : 0;
}

static int method_apply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *op, *path, *content;
        uint32_t mode;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(sssu)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "(sssu)", &op, &path, &content, &mode)) > 0) {
                r = apply(op, path, content, mode, error);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable store_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Describe", "", "a(sasas)", method_describe, 0),
        SD_BUS_METHOD("Apply", "a(sssu)", "", method_apply, SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_VTABLE_END,
};

static int store_new(sd_bus *bus, sd_event *event, void **ret)
{
        *ret = NULL;
        return 0;
}

static void store_free(void *userdata)
{
}

const WorkerRole worker_role_store = {
        .name = "store",
        .vtable = store_vtable,
        .new = store_new,
        .free = store_free,
};
