/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The options that describe a pool, named as virsh names them where it has them. */

#include "tools/options.h"

/* Keys of Manager.DefinePool's definition. */
extern const Option pool_definition_options[];

/* For 'define' and 'create': --type, and keys of DefinePool's options. */
extern const Option pool_define_options[];
extern const Option pool_create_options[];
