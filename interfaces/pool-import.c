/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pool.ImportVolume and Pool.OpenImport. */

#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/pool-methods.h"
#include "interfaces/reply.h"
#include "service/volume-transfer.h"

typedef struct ImportArguments {
        VolumeTransfer transfer;
        VolumeDef *def;
        const char *format;
        uint64_t wait;
} ImportArguments;

static int read_name_and_source(sd_bus_message *m, bool open, ImportArguments *a, sd_bus_error *error)
{
        const char *name;
        int r;

        a->def = volume_def_new();
        if (!a->def)
                return -ENOMEM;
        r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
                r = free_and_strdup(&a->def->name, name);
        if (r >= 0)
                r = open ? sd_bus_message_read(m, "t", &a->transfer.length)
                         : options_read_descriptor(m, false, &a->transfer.fd, error);
        return r;
}

/* What of a definition makes sense for contents that are there already. */
static int read_options(sd_bus_message *m, bool open, ImportArguments *a, sd_bus_error *error)
{
        uint64_t allocation = UINT64_MAX;
        VolumeTransfer *t = &a->transfer;
        Permissions *p = &a->def->permissions;
        const Option options[] = {
                {"format", 's', &a->format}, {"sparse", 'b', &t->sparse},
                {"sha256", 'b', &t->sha256}, {"nocow", 'b', &a->def->nocow},
                {"mode", 'u', &p->mode},     {"owner", 'u', &p->owner},
                {"group", 'u', &p->group},   {"allocation", 't', &allocation},
                {"length", 't', &t->length}, {"wait", 't', &a->wait},
        };
        int r;

        /* A pipe is answered at once; and how much will come through it is an argument. */
        r = options_read(m, options, ELEMENTSOF(options) - (open ? 2 : 0), error);
        if (r >= 0 && a->format)
                r = free_and_strdup(&a->def->format, a->format);
        if (allocation != UINT64_MAX) {
                a->def->allocation = allocation;
                a->def->allocation_set = true;
        }
        return r;
}

static int check_definition(const Pool *pool, const ImportArguments *a, sd_bus_error *error)
{
        _cleanup_(volume_def_freep) VolumeDef *def = NULL;
        bool files = pool_type_has_files(pool->def->type);
        int r;

        if (files && a->def->allocation_set)
                return error_setf(
                        error, STORAGE_ERROR_INVALID_ARGUMENT,
                        "Of a file as much is allocated as is imported: option allocation is for other "
                        "volumes");
        if (a->format && streq(a->format, "dir"))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT, "A folder cannot be imported");
        /* The length may have to be found out still: any that is allowed. */
        r = volume_def_copy(a->def, &def);
        if (r < 0)
                return r;
        def->capacity = a->transfer.length < UINT64_MAX ? a->transfer.length : 1;
        def->capacity_set = true;
        return volume_def_validate(def, pool->def->type, error);
}

static int read_import(sd_bus_message *m, const Pool *pool, bool open, ImportArguments *a,
                       sd_bus_error *error)
{
        int r;

        *a = (ImportArguments){.transfer = {.fd = -EBADF, .length = UINT64_MAX}, .wait = WAIT_DEFAULT_USEC};
        r = read_name_and_source(m, open, a, error);
        if (r >= 0)
                r = read_options(m, open, a, error);
        return r < 0 ? r : check_definition(pool, a, error);
}

static int import(sd_bus_message *m, Pool *pool, bool open, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        ImportArguments a = {};
        Bus *b = bus_of(pool->manager);
        Access access = {.action = "create-volume", .pool = pool->def->name};
        uid_t uid;
        int r;

        r = hold_until_scanned(b, pool, m, error);
        if (r == 0)
                return 1;
        if (r > 0)
                r = read_import(m, pool, open, &a, error);
        if (r >= 0) {
                access.type = pool_type_to_string(pool->def->type);
                access.volume = a.def->name;
                access.capacity = a.transfer.length;
                r = access_check(b, m, &access, &uid, error);
        }
        if (r <= 0) {
                volume_def_free(a.def);
                return r < 0 ? r : 1;
        }
        r = volume_import(pool, a.def, &a.transfer, uid, &job, error);
        if (r < 0)
                return r;
        return open ? reply_with_pipe(m, job, REPLY_IMPORT_PIPE)
                    : reply_when_done(b, m, job, REPLY_IMPORT, a.wait, error);
}

int pool_method_import_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return import(m, userdata, false, error);
}

int pool_method_open_import(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return import(m, userdata, true, error);
}
