/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/util.h"

/* Copies all that can be read from one descriptor to another. Negative errno and error. */
int copy_all(int from, int to, sd_bus_error *error);
