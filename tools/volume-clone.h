/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* 'volume clone' and 'volume convert'. */

#include "tools/storagectl.h"

extern const Option volume_clone_options[];
int volume_clone(Context *c, const Args *a);

extern const Option volume_convert_options[];
int volume_convert(Context *c, const Args *a);
