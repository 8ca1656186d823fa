/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Waiting for work that may have become a job: the progress bar, and Ctrl-C, which cancels the job when it
 * is pressed once and leaves it to itself when it is pressed again.
 */

#include "tools/json.h"
#include "tools/storagectl.h"

/*
 * Sends a call whose reply ends in a job and waits until the work is done. label is for the progress bar.
 * With --no-wait, prints the job's path instead. Negative errno and error, also if the job failed.
 */
int job_call(Context *c, sd_bus_message *m, const char *label, sd_bus_error *error);

/*
 * The same, of a method that answers a dictionary: *ret is that in the end, as an object that the
 * caller owns, also on failure; NULL if there was none, as with --no-wait.
 */
int job_call_result(Context *c, sd_bus_message *m, const char *label, json_object **ret,
                    sd_bus_error *error);

/* Waits for the end of the job with that object path. Negative errno and error, also if it failed. */
int job_follow(Context *c, const char *path, const char *label, sd_bus_error *error);
