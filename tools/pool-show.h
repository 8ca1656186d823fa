/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* 'pool show' and 'pool find-sources'. */

#include "tools/call.h"

extern const Option pool_show_options[];
int pool_show(Context *c, const Args *a);

extern const Option pool_find_options[];
int pool_find_sources(Context *c, const Args *a);
