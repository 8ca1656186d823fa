/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* 'volume list': pages through a pool's volumes. */

#include "tools/storagectl.h"

extern const Option volume_list_options[];
int volume_list(Context *c, const Args *a);
