/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/wipe-algorithm.h"

#include "common/util.h"

static const char *const names[_WIPE_ALGORITHM_MAX] = {
        [WIPE_ZERO] = "zero",
        [WIPE_TRIM] = "trim",
        [WIPE_RANDOM] = "random",
        [WIPE_NNSA] = "nnsa",
        [WIPE_DOD] = "dod",
        [WIPE_BSI] = "bsi",
        [WIPE_GUTMANN] = "gutmann",
        [WIPE_SCHNEIER] = "schneier",
        [WIPE_PFITZNER7] = "pfitzner7",
        [WIPE_PFITZNER33] = "pfitzner33",
};

const char *wipe_algorithm_to_string(WipeAlgorithm a)
{
        return names[a];
}

WipeAlgorithm wipe_algorithm_from_string(const char *s)
{
        WipeAlgorithm a = 0;

        while (a < _WIPE_ALGORITHM_MAX && !streq(names[a], s))
                a++;
        return a;
}
