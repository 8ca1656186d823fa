/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-graph.h"

#define NAMES_SIZE 512U

int volume_require_no_dependents(const Volume *v, const Volume *except, const char *verb,
                                 sd_bus_error *error)
{
        _cleanup_free_ char *path = volume_path(v);
        char names[NAMES_SIZE] = "";
        Overlay *o = NULL;
        size_t n = 0;

        if (!path)
                return -ENOMEM;
        while (n < sizeof names - 1 && (o = volume_next_dependent(v, path, o))) {
                if (o->volume == v || o->volume == except)
                        continue;
                n += (size_t) snprintf(names + n, sizeof names - n, "%s'%s' of pool '%s'", n ? ", " : "",
                                       o->volume->row.name, o->volume->pool->def->name);
        }
        if (n == 0)
                return 0;
        return error_setf(error, STORAGE_ERROR_HAS_DEPENDENTS,
                          "Volume '%s' cannot be %s: it is the backing volume of %s", v->row.name, verb,
                          names);
}
