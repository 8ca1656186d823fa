/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* 'volume tree': what is built on what. */

#include "tools/storagectl.h"

int volume_tree(Context *c, const Args *a);
