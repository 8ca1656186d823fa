/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.example.Storage1.Volume: see interfaces/org.example.Storage1.Volume.xml. */

#include "interfaces/access.h"
#include "interfaces/options.h"
#include "interfaces/paths.h"
#include "interfaces/reply.h"
#include "interfaces/volume-methods.h"
#include "service/incomplete.h"
#include "service/volume-graph.h"
#include "service/volume-jobs.h"
#include "service/volume-need.h"
#include "service/volume-secret.h"

#define GETTER(name)                                                                                \
        static int name(sd_bus *bus, const char *path, const char *interface, const char *property, \
                        sd_bus_message *reply, void *userdata, sd_bus_error *error)

GETTER(get_name)
{
        return sd_bus_message_append(reply, "s", ((Volume *) userdata)->row.name);
}

GETTER(get_key)
{
        _cleanup_free_ char *key = volume_key(userdata);

        return key ? sd_bus_message_append(reply, "s", key) : -ENOMEM;
}

GETTER(get_path)
{
        _cleanup_free_ char *p = volume_path(userdata);

        return p ? sd_bus_message_append(reply, "s", p) : -ENOMEM;
}

GETTER(get_type)
{
        return sd_bus_message_append(reply, "s", volume_type_to_string(((Volume *) userdata)->row.type));
}

GETTER(get_format)
{
        return sd_bus_message_append(reply, "s", ((Volume *) userdata)->row.format);
}

GETTER(get_backing_path)
{
        const VolumeExtra *extra = ((Volume *) userdata)->row.extra;

        return sd_bus_message_append(reply, "s", extra ? strempty(extra->backing_path) : "");
}

GETTER(get_backing_format)
{
        const VolumeExtra *extra = ((Volume *) userdata)->row.extra;

        return sd_bus_message_append(reply, "s", extra ? strempty(extra->backing_format) : "");
}

GETTER(get_encryption)
{
        const VolumeExtra *extra = ((Volume *) userdata)->row.extra;

        return sd_bus_message_append(
                reply, "s", encryption_format_to_string(extra ? extra->encryption : ENCRYPTION_NONE));
}

GETTER(get_problem)
{
        const VolumeExtra *extra = ((Volume *) userdata)->row.extra;
        _cleanup_free_ char *incomplete = NULL, *backing = NULL;

        if (incomplete_describe(userdata, &incomplete) < 0 ||
            volume_describe_backing(userdata, &backing) < 0)
                return -ENOMEM;
        if (!incomplete && extra && extra->problem)
                return sd_bus_message_append(reply, "s", extra->problem);
        return sd_bus_message_append(reply, "s", incomplete ?: strempty(backing));
}

GETTER(get_pool)
{
        _cleanup_free_ char *p = path_of_pool(((Volume *) userdata)->pool);

        return p ? sd_bus_message_append(reply, "o", p) : -ENOMEM;
}

GETTER(get_backing)
{
        _cleanup_free_ char *p = NULL;
        Volume *backing = volume_backing(userdata);

        if (!backing)
                return sd_bus_message_append(reply, "o", "/");
        p = path_of_volume(backing->pool, backing->row.name);
        return p ? sd_bus_message_append(reply, "o", p) : -ENOMEM;
}

GETTER(get_dependents)
{
        _cleanup_free_ char *own = volume_path(userdata);
        Overlay *o = NULL;
        Need *n = NULL;
        int r;

        r = own ? sd_bus_message_open_container(reply, 'a', "o") : -ENOMEM;
        while (r >= 0 && (o = volume_next_dependent(userdata, own, o))) {
                _cleanup_free_ char *p = path_of_volume(o->volume->pool, o->volume->row.name);

                if (o->volume != userdata)
                        r = p ? sd_bus_message_append(reply, "o", p) : -ENOMEM;
        }
        while (r >= 0 && (n = volume_next_need(userdata, own, n))) {
                _cleanup_free_ char *p = path_of_volume(n->volume->pool, n->volume->row.name);

                r = p ? sd_bus_message_append(reply, "o", p) : -ENOMEM;
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(get_format_probed)
{
        return sd_bus_message_append(reply, "b", (int) ((Volume *) userdata)->row.format_probed);
}

GETTER(get_in_use)
{
        return sd_bus_message_append(reply, "b", (int) ((Volume *) userdata)->row.in_use);
}

GETTER(get_modified)
{
        return sd_bus_message_append(reply, "t", (uint64_t) (((Volume *) userdata)->row.mtime / 1000));
}

/* methods */

static int method_delete(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        uint64_t wait = WAIT_DEFAULT_USEC;
        bool force = false;
        const Option options[] = {{"force", 'b', &force}, {"wait", 't', &wait}};
        Volume *v = userdata;
        Bus *b = bus_of(v->pool->manager);
        uid_t uid;
        int r;

        r = options_read(m, options, ELEMENTSOF(options), error);
        if (r >= 0)
                r = hold_for_dependents(b, m);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = access_check_volume(b, m, "delete-volume", v, force, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = volume_delete(v, force, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_JOB, wait, error);
}

/* What rules look at is how large it gets; what goes over the bounds here volume_resize() refuses. */
static uint64_t resulting_capacity(const Volume *v, const VolumeResize *resize)
{
        uint64_t now = v->row.capacity, change = resize->capacity;

        if (!resize->delta)
                return change;
        if (resize->shrink)
                return change > now ? 0 : now - change;
        return now > INT64_MAX || change > (uint64_t) INT64_MAX - now ? INT64_MAX : now + change;
}

static int method_resize(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        uint64_t wait = WAIT_DEFAULT_USEC;
        VolumeResize resize = {};
        const Option options[] = {
                {"shrink", 'b', &resize.shrink},     {"delta", 'b', &resize.delta},
                {"allocate", 'b', &resize.allocate}, {"force", 'b', &resize.force},
                {"secret", 's', &resize.secret},     {"wait", 't', &wait},
        };
        Volume *v = userdata;
        Bus *b = bus_of(v->pool->manager);
        Access access = {.action = "resize-volume", .pool = v->pool->def->name, .volume = v->row.name};
        uid_t uid;
        int r;

        r = sd_bus_message_read(m, "t", &resize.capacity);
        if (r >= 0)
                r = options_read(m, options, ELEMENTSOF(options), error);
        if (r >= 0)
                r = resize.shrink ? hold_for_dependents(b, m) : 1;
        if (r <= 0)
                return r < 0 ? r : 1;
        access.type = pool_type_to_string(v->pool->def->type);
        access.capacity = resulting_capacity(v, &resize);
        access.force = resize.force || resize.shrink;
        r = access_check(b, m, &access, &uid, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = volume_resize(v, &resize, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_JOB, wait, error);
}

static int method_open(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(job_unrefp) Job *job = NULL;
        Volume *v = userdata;
        Bus *b = bus_of(v->pool->manager);
        const char *mode;
        uid_t uid;
        int r;

        r = sd_bus_message_read(m, "s", &mode);
        if (r >= 0)
                r = options_read(m, NULL, 0, error);
        if (r < 0)
                return r;
        /* An unknown mode is asked about as the stronger one, so that only who may write learns that it is
         * none. */
        r = access_check_volume(b, m, streq(mode, "r") ? "read-volume" : "write-volume", v, false, &uid,
                                error);
        if (r <= 0)
                return r < 0 ? r : 1;
        if (!streq(mode, "r") && !streq(mode, "rw"))
                return error_setf(error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "The mode must be 'r' or 'rw', not '%.16s'", mode);
        r = volume_open(v, mode, uid, &job, error);
        return r < 0 ? r : reply_when_done(b, m, job, REPLY_DESCRIPTOR, WAIT_DEFAULT_USEC, error);
}

static int method_get_xml(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_(volume_def_freep) VolumeDef *def = NULL;
        _cleanup_free_ char *xml = NULL, *path = volume_path(userdata);
        Volume *v = userdata;
        int r;

        r = options_read(m, NULL, 0, error);
        if (r >= 0)
                r = path ? volume_row_to_def(&v->row, path, &def) : -ENOMEM;
        if (r >= 0)
                r = volume_secret_add_to_def(v, def);
        if (r >= 0)
                r = volume_def_format_xml(def, &xml);
        return r < 0 ? r : sd_bus_reply_method_return(m, "s", xml);
}

#define ANYONE SD_BUS_VTABLE_UNPRIVILEGED
#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define CONSTANT SD_BUS_VTABLE_PROPERTY_CONST

const sd_bus_vtable volume_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_name, 0, CONSTANT),
        SD_BUS_PROPERTY("Key", "s", get_key, 0, CHANGES),
        SD_BUS_PROPERTY("Path", "s", get_path, 0, CHANGES),
        SD_BUS_PROPERTY("Type", "s", get_type, 0, CHANGES),
        SD_BUS_PROPERTY("Format", "s", get_format, 0, CHANGES),
        SD_BUS_PROPERTY("BackingPath", "s", get_backing_path, 0, CHANGES),
        SD_BUS_PROPERTY("BackingFormat", "s", get_backing_format, 0, CHANGES),
        SD_BUS_PROPERTY("Encryption", "s", get_encryption, 0, CHANGES),
        SD_BUS_PROPERTY("Problem", "s", get_problem, 0, CHANGES),
        SD_BUS_PROPERTY("Pool", "o", get_pool, 0, CONSTANT),
        SD_BUS_PROPERTY("Backing", "o", get_backing, 0, CHANGES),
        SD_BUS_PROPERTY("Dependents", "ao", get_dependents, 0, CHANGES),
        SD_BUS_PROPERTY("FormatProbed", "b", get_format_probed, 0, CHANGES),
        SD_BUS_PROPERTY("InUse", "b", get_in_use, 0, CHANGES),
        SD_BUS_PROPERTY("Capacity", "t", NULL, offsetof(Volume, row.capacity), CHANGES),
        SD_BUS_PROPERTY("Allocation", "t", NULL, offsetof(Volume, row.allocation), CHANGES),
        SD_BUS_PROPERTY("Physical", "t", NULL, offsetof(Volume, row.physical), CHANGES),
        SD_BUS_PROPERTY("Modified", "t", get_modified, 0, CHANGES),
        SD_BUS_PROPERTY("Mode", "u", NULL, offsetof(Volume, row.mode), CHANGES),
        SD_BUS_PROPERTY("Owner", "u", NULL, offsetof(Volume, row.owner), CHANGES),
        SD_BUS_PROPERTY("Group", "u", NULL, offsetof(Volume, row.group), CHANGES),
        SD_BUS_METHOD_WITH_ARGS("Delete", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                                method_delete, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Wipe", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                                volume_method_wipe, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Flatten", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                                volume_method_flatten, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Commit", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                                volume_method_commit, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Resize", SD_BUS_ARGS("t", capacity, "a{sv}", options),
                                SD_BUS_RESULT("o", job), method_resize, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Rebase", SD_BUS_ARGS("o", backing, "a{sv}", options),
                                SD_BUS_RESULT("o", job), volume_method_rebase, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Open", SD_BUS_ARGS("s", mode, "a{sv}", options),
                                SD_BUS_RESULT("h", descriptor), method_open, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Upload", SD_BUS_ARGS("h", source, "a{sv}", options),
                                SD_BUS_RESULT("a{sv}", result, "o", job), volume_method_upload, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Download", SD_BUS_ARGS("h", destination, "a{sv}", options),
                                SD_BUS_RESULT("a{sv}", result, "o", job), volume_method_download, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("OpenUpload", SD_BUS_ARGS("t", length, "a{sv}", options),
                                SD_BUS_RESULT("h", pipe, "o", job), volume_method_open_upload, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("OpenDownload", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("h", pipe, "o", job), volume_method_open_download, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("ListUsers", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a(sua{sv})", users), volume_method_list_users, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("GetXML", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", xml),
                                method_get_xml, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("GetDiskXML", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", xml),
                                volume_method_get_disk_xml, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("GetBlockdev", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", json),
                                volume_method_get_blockdev, ANYONE),
        SD_BUS_VTABLE_END,
};
