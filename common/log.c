/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/log.h"

#include <stdarg.h>

void log_line(const char *level, const char *format, ...)
{
        char line[2048];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(line, sizeof line, format, ap);
        va_end(ap);
        /* One line a message, whatever a file's name or contents brought into it. */
        for (char *c = line; *c; c++) {
                if (*c == '\n' || *c == '\r')
                        *c = ' ';
        }
        fprintf(stderr, "%s%s\n", getenv("JOURNAL_STREAM") ? level : "", line);
}
