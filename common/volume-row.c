/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/volume-row.h"

#include <pthread.h>

#include "common/bus-dict.h"

#define FORMATS_MAX 64U

VolumeExtra *volume_extra_new(void)
{
        return calloc(1, sizeof(VolumeExtra));
}

VolumeExtra *volume_extra_free(VolumeExtra *extra)
{
        if (!extra)
                return NULL;
        free(extra->key);
        free(extra->path);
        free(extra->backing_path);
        free(extra->backing_format);
        free(extra->cipher_name);
        free(extra->cipher_mode);
        free(extra->cipher_hash);
        free(extra->compat);
        free(extra->data_file);
        free(extra->label);
        free(extra->problem);
        for (size_t i = 0; i < extra->n_snapshots; i++) {
                free(extra->snapshots[i].name);
                free(extra->snapshots[i].id);
        }
        free(extra->snapshots);
        for (size_t i = 0; i < extra->n_needs; i++)
                free(extra->needs[i].path);
        free(extra->needs);
        volume_extents_free(extra->extents, extra->n_extents);
        free(extra);
        return NULL;
}

int volume_extra_add_need(VolumeExtra *extra, const char *path, uint64_t dev, uint64_t ino)
{
        VolumeNeed *needs = reallocarray(extra->needs, extra->n_needs + 1, sizeof(*needs));

        if (!needs)
                return -ENOMEM;
        extra->needs = needs;
        needs[extra->n_needs] = (VolumeNeed){.path = strdup(path), .dev = dev, .ino = ino};
        if (!needs[extra->n_needs].path)
                return -ENOMEM;
        extra->n_needs++;
        return 0;
}

static int copy_snapshots(const VolumeExtra *from, VolumeExtra *to)
{
        if (from->n_snapshots == 0)
                return 0;
        to->snapshots = calloc(from->n_snapshots, sizeof(VolumeSnapshot));
        if (!to->snapshots)
                return -ENOMEM;
        for (; to->n_snapshots < from->n_snapshots; to->n_snapshots++) {
                VolumeSnapshot *s = to->snapshots + to->n_snapshots;

                *s = from->snapshots[to->n_snapshots];
                s->name = strdup(strempty(s->name));
                s->id = strdup(strempty(s->id));
                if (!s->name || !s->id) {
                        to->n_snapshots++;
                        return -ENOMEM;
                }
        }
        return 0;
}

static int copy_needs(const VolumeExtra *from, VolumeExtra *to)
{
        for (size_t i = 0; i < from->n_needs; i++) {
                const VolumeNeed *n = from->needs + i;
                int r = volume_extra_add_need(to, n->path, n->dev, n->ino);

                if (r < 0)
                        return r;
        }
        return 0;
}

int volume_extra_copy(const VolumeExtra *extra, VolumeExtra **ret)
{
        _cleanup_(volume_extra_freep) VolumeExtra *copy = NULL;
        int r;

        if (!extra) {
                *ret = NULL;
                return 0;
        }
        copy = volume_extra_new();
        if (!copy)
                return -ENOMEM;
        *copy = *extra;
        copy->snapshots = NULL;
        copy->n_snapshots = 0;
        copy->extents = NULL;
        copy->n_extents = 0;
        copy->needs = NULL;
        copy->n_needs = 0;
        char **strings[] = {
                &copy->key,         &copy->path,        &copy->backing_path, &copy->backing_format,
                &copy->cipher_name, &copy->cipher_mode, &copy->cipher_hash,  &copy->compat,
                &copy->data_file,   &copy->label,       &copy->problem};
        r = 0;
        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                if (!*strings[i])
                        continue;
                *strings[i] = r < 0 ? NULL : strdup(*strings[i]);
                if (!*strings[i])
                        r = -ENOMEM;
        }
        if (r < 0)
                return r;
        r = copy_snapshots(extra, copy);
        if (r >= 0)
                r = copy_needs(extra, copy);
        if (r >= 0)
                r = volume_extents_copy(extra->extents, extra->n_extents, &copy->extents, &copy->n_extents);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}

void volume_row_done(VolumeRow *row)
{
        free(row->name);
        volume_extra_free(row->extra);
        *row = (VolumeRow){0};
}

static bool snapshots_equal(const VolumeExtra *a, const VolumeExtra *b)
{
        if (a->n_snapshots != b->n_snapshots)
                return false;
        for (size_t i = 0; i < a->n_snapshots; i++) {
                const VolumeSnapshot *x = a->snapshots + i, *y = b->snapshots + i;

                if (!streq_ptr(x->name, y->name) || !streq_ptr(x->id, y->id) || x->size != y->size ||
                    x->time != y->time)
                        return false;
        }
        return true;
}

static bool extents_equal(const VolumeExtra *a, const VolumeExtra *b)
{
        if (a->n_extents != b->n_extents)
                return false;
        for (size_t i = 0; i < a->n_extents; i++) {
                const VolumeExtent *x = a->extents + i, *y = b->extents + i;

                if (!streq_ptr(x->device, y->device) || x->start != y->start || x->end != y->end)
                        return false;
        }
        return true;
}

bool volume_needs_equal(const VolumeExtra *a, const VolumeExtra *b)
{
        size_t n = a ? a->n_needs : 0;

        if (n != (b ? b->n_needs : 0))
                return false;
        for (size_t i = 0; i < n; i++) {
                const VolumeNeed *x = a->needs + i, *y = b->needs + i;

                if (!streq_ptr(x->path, y->path) || x->dev != y->dev || x->ino != y->ino)
                        return false;
        }
        return true;
}

static bool extra_equal(const VolumeExtra *a, const VolumeExtra *b)
{
        if (!a || !b)
                return a == b;
        return streq_ptr(a->key, b->key) && streq_ptr(a->path, b->path) &&
               streq_ptr(a->backing_path, b->backing_path) &&
               streq_ptr(a->backing_format, b->backing_format) && a->backing_remote == b->backing_remote &&
               a->backing_missing == b->backing_missing && a->encryption == b->encryption &&
               streq_ptr(a->cipher_name, b->cipher_name) && streq_ptr(a->cipher_mode, b->cipher_mode) &&
               streq_ptr(a->cipher_hash, b->cipher_hash) && a->cipher_size == b->cipher_size &&
               a->header_size == b->header_size && streq_ptr(a->compat, b->compat) &&
               a->lazy_refcounts == b->lazy_refcounts && a->extended_l2 == b->extended_l2 &&
               streq_ptr(a->data_file, b->data_file) && a->cluster_size == b->cluster_size &&
               streq_ptr(a->label, b->label) && streq_ptr(a->problem, b->problem) && snapshots_equal(a, b) &&
               extents_equal(a, b) && volume_needs_equal(a, b);
}

bool volume_row_equal(const VolumeRow *a, const VolumeRow *b)
{
        return streq_ptr(a->name, b->name) && a->type == b->type && streq_ptr(a->format, b->format) &&
               a->format_probed == b->format_probed && a->in_use == b->in_use &&
               a->capacity == b->capacity && a->allocation == b->allocation && a->physical == b->physical &&
               a->atime == b->atime && a->btime == b->btime && a->ctime == b->ctime &&
               a->mtime == b->mtime && a->mode == b->mode && a->owner == b->owner && a->group == b->group &&
               a->dev == b->dev && a->ino == b->ino && extra_equal(a->extra, b->extra);
}

const char *volume_format_intern(const char *s)
{
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
        static char *formats[FORMATS_MAX];
        static size_t n_formats;
        const char *found = "raw";
        size_t i = 0;

        if (isempty(s))
                return "";
        if (streq(s, "raw"))
                return "raw";
        (void) pthread_mutex_lock(&lock);
        while (i < n_formats && !streq(formats[i], s))
                i++;
        if (i == n_formats && i < FORMATS_MAX) {
                formats[i] = strdup(s);
                n_formats += formats[i] != NULL;
        }
        if (i < n_formats)
                found = formats[i];
        (void) pthread_mutex_unlock(&lock);
        return found;
}

/* The extra part's simple members, by their key on the wire. */
static const struct ExtraKey {
        const char *key;
        char type;
        size_t offset;
} extra_keys[] = {
        {"key", 's', offsetof(VolumeExtra, key)},
        {"path", 's', offsetof(VolumeExtra, path)},
        {"backing-path", 's', offsetof(VolumeExtra, backing_path)},
        {"backing-format", 's', offsetof(VolumeExtra, backing_format)},
        {"backing-remote", 'b', offsetof(VolumeExtra, backing_remote)},
        {"backing-missing", 'b', offsetof(VolumeExtra, backing_missing)},
        {"cipher-name", 's', offsetof(VolumeExtra, cipher_name)},
        {"cipher-mode", 's', offsetof(VolumeExtra, cipher_mode)},
        {"cipher-hash", 's', offsetof(VolumeExtra, cipher_hash)},
        {"cipher-size", 'u', offsetof(VolumeExtra, cipher_size)},
        {"header-size", 't', offsetof(VolumeExtra, header_size)},
        {"compat", 's', offsetof(VolumeExtra, compat)},
        {"lazy-refcounts", 'b', offsetof(VolumeExtra, lazy_refcounts)},
        {"extended-l2", 'b', offsetof(VolumeExtra, extended_l2)},
        {"data-file", 's', offsetof(VolumeExtra, data_file)},
        {"cluster-size", 't', offsetof(VolumeExtra, cluster_size)},
        {"label", 's', offsetof(VolumeExtra, label)},
        {"problem", 's', offsetof(VolumeExtra, problem)},
};

static int append_extra_key(const VolumeExtra *extra, const struct ExtraKey *k, sd_bus_message *m)
{
        const void *p = (const char *) extra + k->offset;

        switch (k->type) {
        case 's': {
                const char *s = *(char *const *) p;

                return s ? sd_bus_message_append(m, "{sv}", k->key, "s", s) : 0;
        }
        case 'b':
                return *(const bool *) p ? sd_bus_message_append(m, "{sv}", k->key, "b", 1) : 0;
        case 'u': {
                uint32_t u = *(const uint32_t *) p;

                return u ? sd_bus_message_append(m, "{sv}", k->key, "u", u) : 0;
        }
        default: {
                uint64_t t = *(const uint64_t *) p;

                return t ? sd_bus_message_append(m, "{sv}", k->key, "t", t) : 0;
        }
        }
}

static int append_snapshots(const VolumeExtra *extra, sd_bus_message *m)
{
        int r;

        if (extra->n_snapshots == 0)
                return 0;
        r = bus_dict_open_array(m, "snapshots", "a(sstx)");
        for (size_t i = 0; r >= 0 && i < extra->n_snapshots; i++) {
                const VolumeSnapshot *s = extra->snapshots + i;

                r = sd_bus_message_append(m, "(sstx)", strempty(s->name), strempty(s->id), s->size, s->time);
        }
        return r < 0 ? r : bus_dict_close_array(m);
}

static int append_extents(const VolumeExtra *extra, sd_bus_message *m)
{
        int r;

        if (extra->n_extents == 0)
                return 0;
        r = bus_dict_open_array(m, "extents", "a(stt)");
        for (size_t i = 0; r >= 0 && i < extra->n_extents; i++) {
                const VolumeExtent *e = extra->extents + i;

                r = sd_bus_message_append(m, "(stt)", strempty(e->device), e->start, e->end);
        }
        return r < 0 ? r : bus_dict_close_array(m);
}

static int append_needs(const VolumeExtra *extra, sd_bus_message *m)
{
        int r;

        if (extra->n_needs == 0)
                return 0;
        r = bus_dict_open_array(m, "needs", "a(stt)");
        for (size_t i = 0; r >= 0 && i < extra->n_needs; i++)
                r = sd_bus_message_append(m, "(stt)", extra->needs[i].path, extra->needs[i].dev, extra->needs[i].ino);
        return r < 0 ? r : bus_dict_close_array(m);
}

static int append_extra(const VolumeExtra *extra, sd_bus_message *m)
{
        int r;

        for (size_t i = 0; i < ELEMENTSOF(extra_keys); i++) {
                r = append_extra_key(extra, extra_keys + i, m);
                if (r < 0)
                        return r;
        }
        if (extra->encryption != ENCRYPTION_NONE) {
                r = sd_bus_message_append(m, "{sv}", "encryption", "s",
                                          encryption_format_to_string(extra->encryption));
                if (r < 0)
                        return r;
        }
        r = append_snapshots(extra, m);
        if (r >= 0)
                r = append_needs(extra, m);
        return r < 0 ? r : append_extents(extra, m);
}

int volume_row_append(const VolumeRow *row, sd_bus_message *m)
{
        int r;

        r = sd_bus_message_open_container(m, 'r', VOLUME_ROW_CONTENTS);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "sysbbtttxxxxuuutt", row->name, (uint8_t) row->type, row->format,
                                  (int) row->format_probed, (int) row->in_use, row->capacity,
                                  row->allocation, row->physical, row->atime, row->btime, row->ctime,
                                  row->mtime, row->mode, row->owner, row->group, row->dev, row->ino);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        if (row->extra) {
                r = append_extra(row->extra, m);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int read_snapshot(sd_bus_message *m, VolumeExtra *extra)
{
        const char *name, *id;
        VolumeSnapshot *grown, s = {0};
        int r;

        r = sd_bus_message_read(m, "(sstx)", &name, &id, &s.size, &s.time);
        if (r <= 0)
                return r;
        grown = reallocarray(extra->snapshots, extra->n_snapshots + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        extra->snapshots = grown;
        s.name = strdup(name);
        s.id = strdup(id);
        grown[extra->n_snapshots++] = s;
        return s.name && s.id ? 1 : -ENOMEM;
}

static int read_extent(sd_bus_message *m, VolumeExtra *extra)
{
        VolumeExtent *grown, e = {0};
        const char *device;
        int r;

        r = sd_bus_message_read(m, "(stt)", &device, &e.start, &e.end);
        if (r <= 0)
                return r;
        grown = reallocarray(extra->extents, extra->n_extents + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        extra->extents = grown;
        e.device = strdup(device);
        grown[extra->n_extents++] = e;
        return e.device ? 1 : -ENOMEM;
}

static int read_need(sd_bus_message *m, VolumeExtra *extra)
{
        uint64_t dev, ino;
        const char *path;
        int r;

        r = sd_bus_message_read(m, "(stt)", &path, &dev, &ino);
        if (r <= 0)
                return r;
        r = volume_extra_add_need(extra, path, dev, ino);
        return r < 0 ? r : 1;
}

/* All elements of the array in the variant. */
static int read_list(sd_bus_message *m, const char *signature,
                     int (*read)(sd_bus_message *m, VolumeExtra *extra), VolumeExtra *extra)
{
        int r;

        r = bus_dict_enter_array(m, signature);
        while (r >= 0 && (r = read(m, extra)) > 0)
                ;
        return r < 0 ? r : bus_dict_exit_array(m);
}

static int read_extra_key(const struct ExtraKey *k, sd_bus_message *m, VolumeExtra *extra)
{
        void *p = (char *) extra + k->offset;
        const char *s;
        int r, b;

        switch (k->type) {
        case 's':
                r = sd_bus_message_read(m, "v", "s", &s);
                return r < 0 ? r : free_and_strdup(p, s);
        case 'b':
                r = sd_bus_message_read(m, "v", "b", &b);
                if (r >= 0)
                        *(bool *) p = b;
                return r;
        case 'u':
                return sd_bus_message_read(m, "v", "u", p);
        default:
                return sd_bus_message_read(m, "v", "t", p);
        }
}

static int read_encryption(sd_bus_message *m, VolumeExtra *extra)
{
        const char *s;
        int r;

        r = sd_bus_message_read(m, "v", "s", &s);
        if (r < 0)
                return r;
        for (EncryptionFormat f = ENCRYPTION_NONE; f < _ENCRYPTION_MAX; f++) {
                if (streq(encryption_format_to_string(f), s)) {
                        extra->encryption = f;
                        return 0;
                }
        }
        return -EBADMSG;
}

/* A key that we do not know is of a newer peer, and skipped. */
static int read_extra_entry(sd_bus_message *m, const char *key, void *userdata)
{
        VolumeExtra **ret = userdata, *extra;

        if (!*ret)
                *ret = volume_extra_new();
        extra = *ret;
        if (!extra)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(extra_keys); i++) {
                if (streq(extra_keys[i].key, key))
                        return read_extra_key(extra_keys + i, m, extra);
        }
        if (streq(key, "encryption"))
                return read_encryption(m, extra);
        if (streq(key, "snapshots"))
                return read_list(m, "a(sstx)", read_snapshot, extra);
        if (streq(key, "needs"))
                return read_list(m, "a(stt)", read_need, extra);
        if (streq(key, "extents"))
                return read_list(m, "a(stt)", read_extent, extra);
        return sd_bus_message_skip(m, "v");
}

static int read_extra(sd_bus_message *m, VolumeExtra **ret)
{
        _cleanup_(volume_extra_freep) VolumeExtra *extra = NULL;
        int r;

        r = bus_dict_read(m, read_extra_entry, &extra);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(extra);
        return 0;
}

static int read_row(sd_bus_message *m, VolumeRow *row)
{
        const char *name, *format;
        uint8_t type;
        int r, probed, in_use;

        r = sd_bus_message_read(m, "sysbbtttxxxxuuutt", &name, &type, &format, &probed, &in_use,
                                &row->capacity, &row->allocation, &row->physical, &row->atime, &row->btime,
                                &row->ctime, &row->mtime, &row->mode, &row->owner, &row->group, &row->dev,
                                &row->ino);
        if (r < 0)
                return r;
        if (type >= _VOLUME_TYPE_MAX || isempty(name))
                return -EBADMSG;
        row->type = (VolumeType) type;
        row->format = volume_format_intern(format);
        row->format_probed = probed;
        row->in_use = in_use;
        row->name = strdup(name);
        if (!row->name)
                return -ENOMEM;
        r = read_extra(m, &row->extra);
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

int volume_row_read(sd_bus_message *m, VolumeRow *ret)
{
        VolumeRow row = {0};
        int r;

        r = sd_bus_message_enter_container(m, 'r', VOLUME_ROW_CONTENTS);
        if (r <= 0)
                return r;
        r = read_row(m, &row);
        if (r < 0) {
                volume_row_done(&row);
                return r;
        }
        *ret = row;
        return 1;
}

static int extra_to_def(const VolumeExtra *e, VolumeDef *def)
{
        const struct {
                char **to;
                const char *from;
        } strings[] = {
                {&def->backing_path, e->backing_path},
                {&def->backing_format, e->backing_path ? e->backing_format : NULL},
                {&def->encryption.cipher_name, e->cipher_name},
                {&def->encryption.cipher_mode, e->cipher_mode},
                {&def->encryption.cipher_hash, e->cipher_hash},
                {&def->compat, e->compat},
                {&def->permissions.label, e->label},
        };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                r = free_and_strdup(strings[i].to, strings[i].from);
                if (r < 0)
                        return r;
        }
        def->encryption.format = e->encryption;
        def->encryption.cipher_size = e->cipher_size;
        def->cluster_size = e->cluster_size;
        if (e->lazy_refcounts)
                def->lazy_refcounts = TRISTATE_YES;
        if (e->extended_l2)
                def->extended_l2 = TRISTATE_YES;
        return volume_extents_copy(e->extents, e->n_extents, &def->extents, &def->n_extents);
}

int volume_row_to_def(const VolumeRow *row, const char *path, VolumeDef **ret)
{
        _cleanup_(volume_def_freep) VolumeDef *def = volume_def_new();
        int r;

        if (!def)
                return -ENOMEM;
        def->type = row->type;
        def->name = strdup(row->name);
        def->key = strdup(row->extra && row->extra->key ? row->extra->key : path);
        def->target_path = strdup(path);
        if (!def->name || !def->key || !def->target_path)
                return -ENOMEM;
        r = free_and_strdup(&def->format, isempty(row->format) ? NULL : row->format);
        if (r < 0)
                return r;
        def->capacity_set = def->allocation_set = true;
        def->capacity = row->capacity;
        def->allocation = row->allocation;
        def->physical = row->physical;
        def->permissions.mode = row->mode;
        def->permissions.owner = row->owner;
        def->permissions.group = row->group;
        def->times = (VolumeTimes){
                .set = row->mtime != 0,
                .atime = row->atime,
                .btime = row->btime,
                .ctime = row->ctime,
                .mtime = row->mtime,
        };
        if (row->extra) {
                r = extra_to_def(row->extra, def);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(def);
        return 0;
}
