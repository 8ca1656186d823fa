/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>

#include "common/errors.h"
#include "tools/report.h"

static const struct {
        const char *name;
        ExitStatus status;
} statuses[] = {
        {STORAGE_ERROR_INVALID_XML, STATUS_USAGE},
        {STORAGE_ERROR_INVALID_NAME, STATUS_USAGE},
        {STORAGE_ERROR_INVALID_ARGUMENT, STATUS_USAGE},
        {SD_BUS_ERROR_INVALID_ARGS, STATUS_USAGE},
        {STORAGE_ERROR_NOT_FOUND, STATUS_NOT_FOUND},
        {SD_BUS_ERROR_UNKNOWN_OBJECT, STATUS_NOT_FOUND},
        {SD_BUS_ERROR_ACCESS_DENIED, STATUS_ACCESS_DENIED},
        {SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, STATUS_ACCESS_DENIED},
        {SD_BUS_ERROR_NO_SERVER, STATUS_UNREACHABLE},
        {SD_BUS_ERROR_SERVICE_UNKNOWN, STATUS_UNREACHABLE},
        {SD_BUS_ERROR_NAME_HAS_NO_OWNER, STATUS_UNREACHABLE},
        {SD_BUS_ERROR_DISCONNECTED, STATUS_UNREACHABLE},
        {SD_BUS_ERROR_NO_REPLY, STATUS_UNREACHABLE},
        {STORAGE_ERROR_EXISTS, STATUS_IN_THE_WAY},
        {STORAGE_ERROR_CONFLICT, STATUS_IN_THE_WAY},
        {STORAGE_ERROR_NOT_ACTIVE, STATUS_IN_THE_WAY},
        {STORAGE_ERROR_ACTIVE, STATUS_IN_THE_WAY},
        {STORAGE_ERROR_BUSY, STATUS_IN_THE_WAY},
        {STORAGE_ERROR_IN_USE, STATUS_IN_THE_WAY},
        {STORAGE_ERROR_HAS_DEPENDENTS, STATUS_IN_THE_WAY},
        {STORAGE_ERROR_NO_SPACE, STATUS_NO_SPACE},
        {STORAGE_ERROR_TIMEOUT, STATUS_TIMED_OUT},
        {SD_BUS_ERROR_TIMEOUT, STATUS_TIMED_OUT},
        {STORAGE_ERROR_UNSUPPORTED, STATUS_UNSUPPORTED},
        {SD_BUS_ERROR_UNKNOWN_METHOD, STATUS_UNSUPPORTED},
        {STORAGE_ERROR_INACCESSIBLE, STATUS_INACCESSIBLE},
        {STORAGE_ERROR_CANCELLED, STATUS_INTERRUPTED},
};

ExitStatus report_status(const char *name, int r)
{
        for (size_t i = 0; name && i < ELEMENTSOF(statuses); i++)
                if (streq(name, statuses[i].name))
                        return statuses[i].status;
        /* systemd and dbus-daemon have many names for "could not be started" */
        if (name && (startswith(name, "org.freedesktop.DBus.Error.Spawn.") ||
                     startswith(name, "org.freedesktop.systemd1.")))
                return STATUS_UNREACHABLE;
        switch (abs(r)) {
        case ECONNRESET:
        case ENOTCONN:
        case EPIPE:
                return STATUS_UNREACHABLE;
        case ETIMEDOUT:
                return STATUS_TIMED_OUT;
        default:
                return STATUS_FAILED;
        }
}

static const char *hint(const Context *c, const char *name, ExitStatus status)
{
        if (streq(name, SD_BUS_ERROR_NO_SERVER) || streq(name, SD_BUS_ERROR_SERVICE_UNKNOWN))
                return c->user ? "is a session bus running, and on it the service ('storaged --user')?"
                               : "is the service installed? Use --user for the one of your session.";
        if (status != STATUS_ACCESS_DENIED)
                return NULL;
        return streq(name, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED)
                       ? "run it in a terminal without --no-ask-password, or as root."
                       : "run it as root, or ask for a polkit rule that allows it.";
}

/* One line whatever the message holds, and nothing that a terminal would obey. */
static void print_line(const char *prefix, const char *message)
{
        _cleanup_free_ char *copy = strdup(message), *clean = NULL;

        for (char *p = copy; p && *p; p++)
                if (*p == '\n' || *p == '\t')
                        *p = ' ';
        if (copy && utf8_make_valid(copy, strlen(copy), &clean) >= 0)
                message = clean;
        (void) fprintf(stderr, "%s: %s\n", prefix, message);
}

int report(const Context *c, const sd_bus_error *error, int r)
{
        const char *name = error ? error->name : NULL;
        ExitStatus status = report_status(name, r);
        const char *advice = hint(c, strempty(name), status);

        if (streq(strempty(name), SD_BUS_ERROR_SERVICE_UNKNOWN))
                print_line("storagectl",
                           "the service does not run, and the bus does not know how to start it");
        else if (error && !isempty(error->message))
                print_line("storagectl", error->message);
        else
                print_line("storagectl", name ? name : strerror(abs(r)));
        if (advice)
                print_line("hint", advice);
        return status;
}

int usage_error(const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        print_line("storagectl", n < 0 ? strerror(ENOMEM) : text);
        return STATUS_USAGE;
}

void confirm(const Context *c, const char *format, ...)
{
        va_list ap;

        if (c->quiet || !c->wait)
                return;
        va_start(ap, format);
        (void) vprintf(format, ap);
        va_end(ap);
        (void) putchar('\n');
}
