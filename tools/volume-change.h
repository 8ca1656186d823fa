/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* 'volume wipe'. */

#include "tools/storagectl.h"

extern const Option volume_wipe_options[];
int volume_wipe(Context *c, const Args *a);
