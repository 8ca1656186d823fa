/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Pool.CloneVolume and Pool.CloneVolumeFromXML. */

#include "service/volume-clone.h"
#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/paths.h"
#include "interfaces/pool-methods.h"
#include "interfaces/reply.h"

typedef struct CloneArguments {
        Volume *source;
        VolumeDef *def;
        VolumeClone clone;
        const char *reflink, *secret;
        uint64_t capacity, wait;
} CloneArguments;

static int check_words(CloneArguments *a, sd_bus_error *error)
{
        static const char *const preallocations[] = {"off", "metadata", "falloc", "full", NULL};
        static const char *const reflinks[] = {"auto", "always", "never", NULL};

        if (a->clone.preallocation && !strv_contains((char *const *) preallocations, a->clone.preallocation))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Option preallocation must be off, metadata, falloc or full, not '%.64s'",
                                  a->clone.preallocation);
        for (size_t i = 0; reflinks[i]; i++) {
                if (streq(reflinks[i], a->reflink))
                        a->clone.reflink = reflinks[i];
        }
        if (!a->clone.reflink)
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "Option reflink must be auto, always or never, not '%.64s'", a->reflink);
        return 0;
}

/* Both forms: the same options; of a definition without XML these are some more. */
static int read_options(sd_bus_message *m, bool xml, CloneArguments *a, sd_bus_error *error)
{
        const Option options[] = {
                {"reflink", 's', &a->reflink},     {"preallocation", 's', &a->clone.preallocation},
                {"linked", 'b', &a->clone.linked}, {"compress", 'b', &a->clone.compress},
                {"wait", 't', &a->wait},           {"source-secret", 's', &a->clone.source_secret},
                {"capacity", 't', &a->capacity},   {"secret", 's', &a->secret},
        };
        int r;

        a->reflink = "auto";
        a->wait = WAIT_DEFAULT_USEC;
        r = xml ? options_read(m, options, ELEMENTSOF(options) - 2, error)
                : options_read_volume(m, options, ELEMENTSOF(options), a->def, error);
        return r < 0 ? r : check_words(a, error);
}

static int read_clone(sd_bus_message *m, Pool *pool, bool xml, CloneArguments *a, sd_bus_error *error)
{
        const char *source, *text;
        int r;

        r = sd_bus_message_read(m, "os", &source, &text);
        if (r < 0)
                return r;
        a->source = volume_of_path(pool->manager, source);
        if (!a->source)
                return error_setf(error, STORAGE_ERROR_NOT_FOUND, "There is no volume %s", source);
        if (xml)
                r = volume_def_parse_clone_xml(text, strlen(text), pool->def->type, &a->def, error);
        else {
                a->def = volume_def_new();
                r = a->def ? free_and_strdup(&a->def->name, text) : -ENOMEM;
        }
        if (r >= 0)
                r = read_options(m, xml, a, error);
        if (r < 0)
                return r;
        r = options_set_secret(a->def, a->secret, error);
        if (r < 0)
                return r;
        if (!xml) {
                a->def->capacity = a->capacity;
                a->def->capacity_set = a->capacity > 0;
        }
        r = volume_clone_complete(pool, a->source, &a->clone, a->def, error);
        return r < 0 ? r : volume_def_validate(a->def, pool->def->type, error);
}

/* Whoever makes a volume of another's contents can read these then. */
static int check_access(Bus *b, sd_bus_message *m, const Pool *pool, const CloneArguments *a, uid_t *ret_uid,
                        sd_bus_error *error)
{
        const Access access = {
                .action = "clone-volume",
                .pool = pool->def->name,
                .type = pool_type_to_string(pool->def->type),
                .volume = a->def->name,
                .capacity = a->def->capacity,
        };
        int r;

        r = access_check(b, m, &access, ret_uid, error);
        if (r > 0)
                r = access_check_volume(b, m, "read-volume", a->source, false, ret_uid, error);
        return r <= 0 ? r : access_check_chain(b, m, a->source, ret_uid, error);
}

static int clone_volume(sd_bus_message *m, Pool *pool, bool xml, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        CloneArguments a = {};
        Bus *b = bus_of(pool->manager);
        uid_t uid;
        int r;

        r = hold_until_scanned(b, pool, m, error);
        if (r == 0)
                return 1;
        if (r > 0)
                r = read_clone(m, pool, xml, &a, error);
        if (r >= 0)
                r = check_access(b, m, pool, &a, &uid, error);
        if (r <= 0) {
                volume_def_free(a.def);
                return r < 0 ? r : 1;
        }
        r = volume_clone(pool, a.source, a.def, &a.clone, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_VOLUME, a.wait, error);
}

int pool_method_clone_volume(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return clone_volume(m, userdata, false, error);
}

int pool_method_clone_volume_xml(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return clone_volume(m, userdata, true, error);
}
