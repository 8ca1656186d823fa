/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pool XML: what is accepted is printed, read again and the same; what is refused has an error for people.
 */

#include "common/errors.h"
#include "common/pool-def.h"
#include "tests/fuzz/fuzz-xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_again(const PoolDef *def)
{
        _cleanup_(pool_def_freep) PoolDef *back = NULL, *copy = NULL;
        _cleanup_free_ char *text = NULL;

        must(pool_def_format_xml(def, NULL, &text) == 0);
        must(pool_def_parse_xml(text, strlen(text), &back, NULL) == 0);
        must(pool_def_equal(def, back));
        must(pool_def_copy(def, &copy) == 0);
        must(pool_def_equal(def, copy));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL, source_error = SD_BUS_ERROR_NULL;
        _cleanup_(pool_def_freep) PoolDef *def = NULL, *source = NULL;
        int r;

        register_errors();
        r = pool_def_parse_xml((const char *) data, n, &def, &error);
        check_error(r, &error);
        if (r >= 0)
                check_again(def);
        r = pool_source_parse_xml(POOL_ISCSI, (const char *) data, n, &source, &source_error);
        check_error(r, &source_error);
        return 0;
}
