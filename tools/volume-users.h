/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* 'volume users': who has a volume open. */

#include "tools/storagectl.h"

int volume_users(Context *c, const Args *a);
