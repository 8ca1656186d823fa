/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/find-sources.h"

#include "backends/find-groups.h"

/* A pool on less is none. */
#define SIZE_MIN (UINT64_C(1024) * 1024)

/* libblkid's word and ours; what is not listed has no pools. */
typedef struct Format {
        const char *type, *format;
} Format;

static const Format fs_formats[] = {
        {"ext2", "ext2"},       {"ext3", "ext3"},   {"ext4", "ext4"},    {"ufs", "ufs"},
        {"iso9660", "iso9660"}, {"udf", "udf"},     {"gfs", "gfs"},      {"gfs2", "gfs2"},
        {"vfat", "vfat"},       {"hfs", "hfs+"},    {"hfsplus", "hfs+"}, {"xfs", "xfs"},
        {"btrfs", "btrfs"},     {"ocfs2", "ocfs2"}, {"VMFS", "vmfs"},
};
static const Format table_formats[] = {
        {"dos", "dos"}, {"gpt", "gpt"}, {"mac", "mac"}, {"bsd", "bsd"}, {"sgi", "dvh"}, {"sun", "sun"},
};

static const char *find_format(const Format *formats, size_t n, const char *type)
{
        for (size_t i = 0; type && i < n; i++) {
                if (streq(formats[i].type, type))
                        return formats[i].format;
        }
        return NULL;
}

/* A candidate on its way to the sink; what is made for it is freed with it. */
typedef struct Candidate {
        const FoundDevice *device;
        const char *format;
        char *why; /* it is not suitable */
        bool failed;
} Candidate;

static void because(Candidate *c, const char *format, ...) _printf_(2, 3);
static void because(Candidate *c, const char *format, ...)
{
        va_list ap;

        if (c->why || c->failed)
                return;
        va_start(ap, format);
        if (vasprintf(&c->why, format, ap) < 0) {
                c->why = NULL;
                c->failed = true;
        }
        va_end(ap);
}

/* What rules out a device for any pool. */
static void judge_device(Candidate *c)
{
        const FoundDevice *d = c->device;

        if (d->no_medium)
                because(c, "there is no medium in the drive");
        if (d->silent)
                because(c, "it does not answer");
        if (d->problem)
                because(c, "%s", d->problem);
        if (d->kind == FOUND_EXTENDED)
                because(c, "it is an extended partition, which holds only other partitions");
        if (d->used_by)
                because(c, "it is in use: %s", d->used_by);
}

/* What has to be built first. */
static void judge_blank(Candidate *c)
{
        const FoundDevice *d = c->device;

        if (d->read_only || d->kind == FOUND_CDROM)
                because(c, "it is read-only, and nothing that a pool could use is on it");
        if (d->size < SIZE_MIN)
                because(c, "it is too small");
        if (d->words)
                because(c,
                        "there is %s on it: only building a pool with 'overwrite' makes it one, and "
                        "destroys that",
                        d->words);
}

static void judge_fs(Candidate *c)
{
        const FoundDevice *d = c->device;

        judge_device(c);
        c->format = d->contents.ambivalent
                            ? NULL
                            : find_format(fs_formats, ELEMENTSOF(fs_formats), d->contents.type);
        if (c->format)
                return;
        if (d->contents.table && !d->contents.type)
                because(c, "it is divided into partitions (%s): one of these can be the source",
                        d->contents.table);
        judge_blank(c);
}

static void judge_disk(Candidate *c)
{
        const FoundDevice *d = c->device;

        judge_device(c);
        if (d->kind == FOUND_CDROM)
                because(c, "it is a CD-ROM drive, which cannot be divided into partitions");
        if (!d->contents.type && !d->contents.ambivalent)
                c->format = find_format(table_formats, ELEMENTSOF(table_formats), d->contents.table);
        if (c->format && d->read_only)
                because(c, "it is read-only");
        if (!c->format)
                judge_blank(c);
}

/* Those that already are physical volumes are told with their group. */
static void judge_logical(Candidate *c)
{
        const FoundDevice *d = c->device;

        judge_device(c);
        if (d->contents.table && !d->contents.type)
                because(c,
                        "there is a partition table (%s) on it: only building a pool with 'overwrite' makes "
                        "it part of "
                        "one, and destroys that",
                        d->contents.table);
        judge_blank(c);
}

static int send_device(BackendContext *ctx, FoundSink *sink, const FoundDevice *d,
                       void (*judge)(Candidate *c))
{
        const char *devices[] = {d->node, NULL};
        Candidate c = {.device = d};
        FoundSource s;
        int r;

        judge(&c);
        if (c.failed)
                return error_set_errno(ctx->error, ENOMEM, "Cannot tell about %s", d->node);
        s = (FoundSource){
                .devices = devices,
                .links = (const char *const *) d->links,
                .format = c.format,
                .size = d->size,
                .vendor = d->drive.vendor,
                .model = d->drive.model,
                .serial = d->drive.serial,
                .removable = d->drive.removable,
                .read_only = d->read_only,
                .contents = d->words,
                .used_by = d->used_by,
                .unsuitable = c.why,
        };
        r = sink->found(sink, &s);
        free(c.why);
        return r;
}

static int find_devices(BackendContext *ctx, FoundSink *sink, bool (*is_kind)(FoundKind kind),
                        void (*judge)(Candidate *c))
{
        FoundDevices devices;
        FoundGroups groups;
        int r;

        r = found_devices_get(ctx, &devices);
        if (r < 0)
                return r;
        r = found_groups_get(ctx, &devices, &groups);
        for (size_t i = 0; r >= 0 && i < devices.n; i++) {
                if (is_kind(devices.list[i].kind))
                        r = send_device(ctx, sink, &devices.list[i], judge);
        }
        found_groups_done(&groups);
        found_devices_done(&devices);
        return r;
}

static bool is_any(FoundKind kind)
{
        return true;
}

static bool is_whole(FoundKind kind)
{
        return kind == FOUND_DISK || kind == FOUND_ARRAY || kind == FOUND_CDROM;
}

int find_fs_sources(BackendContext *ctx, FoundSink *sink)
{
        return find_devices(ctx, sink, is_any, judge_fs);
}

int find_disk_sources(BackendContext *ctx, FoundSink *sink)
{
        return find_devices(ctx, sink, is_whole, judge_disk);
}

/* Who uses a group's volumes: "root is mounted on /; swap is used as swap space". 0 or -ENOMEM. */
static int describe_users(const FoundDevices *devices, const char *group, char **ret)
{
        _cleanup_free_ char *words = NULL;

        for (size_t i = 0; i < devices->n; i++) {
                const FoundDevice *d = &devices->list[i];
                char *more;

                if (d->kind != FOUND_VOLUME || !streq_ptr(d->vg, group) || !d->used_by)
                        continue;
                if (asprintf(&more, "%s%s%s is %s", strempty(words), words ? "; " : "", d->node,
                             d->used_by) < 0)
                        return -ENOMEM;
                free(words);
                words = more;
        }
        *ret = TAKE_PTR(words);
        return 0;
}

static int send_group(BackendContext *ctx, FoundSink *sink, const FoundDevices *devices,
                      const FoundGroup *group)
{
        const FoundDevice *first = group->devices ? found_devices_find(devices, group->devices[0]) : NULL;
        size_t n = strv_length(group->devices);
        _cleanup_free_ char *used_by = NULL, *why = NULL;
        FoundSource s;
        int r;

        r = describe_users(devices, group->name, &used_by);
        if (r >= 0 && n < group->n_devices &&
            asprintf(&why, "%zu of its %zu devices are missing", (size_t) group->n_devices - n,
                     (size_t) group->n_devices) < 0) {
                why = NULL;
                r = -ENOMEM;
        }
        if (r < 0)
                return error_set_errno(ctx->error, r, "Cannot tell about the volume group '%s'",
                                       group->name);
        s = (FoundSource){
                .devices = (const char *const *) group->devices,
                .links = first ? (const char *const *) first->links : NULL,
                .name = group->name,
                .format = "lvm2",
                .size = group->size,
                .contents = "a volume group",
                .used_by = used_by,
                .unsuitable = why,
        };
        if (first && n == 1) {
                s.vendor = first->drive.vendor;
                s.model = first->drive.model;
                s.serial = first->drive.serial;
                s.removable = first->drive.removable;
                s.read_only = first->read_only;
        }
        return sink->found(sink, &s);
}

static bool is_group_wanted(BackendContext *ctx, const FoundDevices *devices, const FoundGroup *group)
{
        const PoolSource *source = &ctx->pool->source;
        bool one = source->n_devices == 0;
        char *const *device;

        if (!isempty(source->name) && !streq(source->name, group->name))
                return false;
        /* Only devices that the pool names were found, if it names any. */
        STRV_FOREACH (device, group->devices) {
                one = one || found_devices_find(devices, *device);
        }
        return one;
}

static int send_logical(BackendContext *ctx, FoundSink *sink, const FoundDevices *devices,
                        const FoundGroups *groups)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < groups->n; i++) {
                if (is_group_wanted(ctx, devices, &groups->list[i]))
                        r = send_group(ctx, sink, devices, &groups->list[i]);
        }
        for (size_t i = 0; r >= 0 && i < devices->n; i++) {
                const FoundDevice *d = &devices->list[i];

                if (is_whole(d->kind) && (!d->vg || groups->unread))
                        r = send_device(ctx, sink, d, judge_logical);
        }
        return r;
}

int find_logical_sources(BackendContext *ctx, FoundSink *sink)
{
        FoundDevices devices;
        FoundGroups groups;
        int r;

        r = found_devices_get(ctx, &devices);
        if (r < 0)
                return r;
        r = found_groups_get(ctx, &devices, &groups);
        if (r >= 0)
                r = send_logical(ctx, sink, &devices, &groups);
        found_groups_done(&groups);
        found_devices_done(&devices);
        return r;
}
