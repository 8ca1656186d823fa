/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How a volume can be wiped; what each does is told in backends/wipe.h. */

typedef enum WipeAlgorithm {
        WIPE_ZERO,
        WIPE_TRIM,
        WIPE_RANDOM,
        WIPE_NNSA,
        WIPE_DOD,
        WIPE_BSI,
        WIPE_GUTMANN,
        WIPE_SCHNEIER,
        WIPE_PFITZNER7,
        WIPE_PFITZNER33,
        _WIPE_ALGORITHM_MAX,
} WipeAlgorithm;

/* libvirt's names. */
const char *wipe_algorithm_to_string(WipeAlgorithm a);
WipeAlgorithm wipe_algorithm_from_string(const char *s); /* _WIPE_ALGORITHM_MAX: no such */
