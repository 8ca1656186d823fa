/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lines for whoever runs the service: on stderr, with the journal's level prefix only where the journal
 * reads it. */

#include <systemd/sd-daemon.h>

#include "common/util.h"

/* level: SD_ERR, SD_WARNING, SD_NOTICE, SD_INFO. The format has no newline at its end. */
void log_line(const char *level, const char *format, ...) _printf_(2, 3);

#define log_error(...) log_line(SD_ERR, __VA_ARGS__)
#define log_warning(...) log_line(SD_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(SD_NOTICE, __VA_ARGS__)
