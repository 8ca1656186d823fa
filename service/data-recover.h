/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What became of data jobs when the daemon ended on the way. */

#include "service/pool.h"

/*
 * Jobs whose intents an earlier daemon left behind reappear as failed (Interrupted), and volumes that they
 * were changing are marked as incomplete; the intents are removed.
 */
int data_jobs_recover(Manager *m);
