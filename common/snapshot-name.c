/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/snapshot-name.h"

#include "common/errors.h"
#include "common/volume-def.h"

char *snapshot_file_name(const char *volume, const char *snapshot)
{
        char *name;

        return asprintf(&name, SNAPSHOT_PREFIX "%s@%s", volume, snapshot) < 0 ? NULL : name;
}

int snapshot_name_validate(const char *volume, const char *snapshot, sd_bus_error *error)
{
        int r = volume_name_validate(snapshot, error);

        if (r < 0)
                return r;
        if (strchr(snapshot, '@'))
                return error_setf(error, STORAGE_ERROR_INVALID_NAME,
                                  "The name of a snapshot of a file cannot have a '@' in it");
        if (strlen(SNAPSHOT_PREFIX) + strlen(volume) + 1 + strlen(snapshot) > DEF_NAME_MAX)
                return error_setf(
                        error, STORAGE_ERROR_INVALID_NAME,
                        "The name of the snapshot is too long: beside that of volume '%s' there is room for "
                        "%zu bytes",
                        volume,
                        strlen(volume) + strlen(SNAPSHOT_PREFIX) + 1 < DEF_NAME_MAX
                                ? DEF_NAME_MAX - strlen(volume) - strlen(SNAPSHOT_PREFIX) - 1
                                : 0);
        return 0;
}
