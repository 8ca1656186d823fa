/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Volume XML, for two kinds of pools: what is accepted is printed, read again and printed the same. */

#include "common/errors.h"
#include "common/volume-def.h"
#include "tests/fuzz/fuzz-xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_again(const VolumeDef *def, PoolType type)
{
        _cleanup_(volume_def_freep) VolumeDef *back = NULL, *copy = NULL;
        _cleanup_free_ char *text = NULL, *again = NULL;

        must(volume_def_copy(def, &copy) == 0);
        must(volume_def_format_xml(copy, &text) == 0);
        must(volume_def_parse_xml(text, strlen(text), type, &back, NULL) == 0);
        must(volume_def_format_xml(back, &again) == 0);
        must(streq(text, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static const PoolType types[] = {POOL_DIR, POOL_LOGICAL};

        register_errors();
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
                _cleanup_(volume_def_freep) VolumeDef *def = NULL;
                int r;

                r = volume_def_parse_xml((const char *) data, n, types[i], &def, &error);
                check_error(r, &error);
                if (r >= 0)
                        check_again(def, types[i]);
        }
        return 0;
}
