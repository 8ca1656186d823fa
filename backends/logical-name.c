/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names of logical volumes: lvm(8), "VALID NAMES". */

#include "backends/logical.h"

/* The kernel's name of the device is made of both names, with each dash doubled and one between. */
#define DM_NAME_MAX 127U

static const char *const reserved_prefixes[] = {"pvmove", "snapshot"};
static const char *const reserved_parts[] = {
        "_cdata",   "_cmeta",  "_corig", "_cpool", "_cvol",  "_imeta", "_iorig", "_mimage",  "_mlog",
        "_pmspare", "_rimage", "_rmeta", "_tdata", "_tmeta", "_tpool", "_vdata", "_vorigin", "_wcorig",
};

static const char *reserved_by(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(reserved_prefixes); i++) {
                if (startswith(name, reserved_prefixes[i]))
                        return reserved_prefixes[i];
        }
        for (size_t i = 0; i < ELEMENTSOF(reserved_parts); i++) {
                if (strstr(name, reserved_parts[i]))
                        return reserved_parts[i];
        }
        return NULL;
}

static size_t dm_length(const char *name)
{
        size_t n = strlen(name);

        for (; *name; name++)
                n += *name == '-';
        return n;
}

int logical_name_validate(BackendContext *ctx, const char *name)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-";
        const char *reserved = reserved_by(name);

        if (isempty(name) || name[strspn(name, allowed)] || *name == '-' || streq(name, ".") ||
            streq(name, ".."))
                return error_setf(
                        ctx->error, STORAGE_ERROR_INVALID_NAME,
                        "'%.128s' cannot be a logical volume's name: these have letters, digits and "
                        "+_.- only, and do not begin with '-'",
                        name);
        if (reserved)
                return error_setf(
                        ctx->error, STORAGE_ERROR_INVALID_NAME,
                        "'%.128s' cannot be a logical volume's name: LVM keeps names with '%s' for "
                        "itself",
                        name, reserved);
        if (dm_length(ctx->pool->source.name) + 1 + dm_length(name) > DM_NAME_MAX)
                return error_setf(ctx->error, STORAGE_ERROR_INVALID_NAME,
                                  "'%.128s' cannot be a logical volume's name in the volume group %s: it is "
                                  "too long for the kernel, where dashes count twice",
                                  name, ctx->pool->source.name);
        return 0;
}
