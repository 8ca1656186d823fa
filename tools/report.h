/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What people are told: errors on standard error, confirmations on standard output. */

#include "tools/storagectl.h"

/*
 * Prints the error (or what r means, if none is set) in one line, and a hint where one helps. Returns the
 * ExitStatus that fits.
 */
int report(const Context *c, const sd_bus_error *error, int r);

/* The ExitStatus for an error name (may be NULL) or else for the errno r. */
ExitStatus report_status(const char *name, int r);

/* Prints what is wrong with the command line. Returns STATUS_USAGE. */
int usage_error(const char *format, ...) _printf_(1, 2);

/* Says that something is done, unless told to be quiet or not to wait for it. */
void confirm(const Context *c, const char *format, ...) _printf_(2, 3);
