/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* 'volume wipe', and what changes what a volume is built on: 'volume flatten', 'rebase' and 'commit'. */

#include "tools/storagectl.h"

extern const Option volume_wipe_options[];
int volume_wipe(Context *c, const Args *a);

int volume_flatten(Context *c, const Args *a);

extern const Option volume_rebase_options[];
int volume_rebase(Context *c, const Args *a);

int volume_commit(Context *c, const Args *a);
