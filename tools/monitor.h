/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* 'monitor': one line for each thing that happens. */

#include "tools/storagectl.h"

extern const Option monitor_options[];
int monitor(Context *c, const Args *a);
