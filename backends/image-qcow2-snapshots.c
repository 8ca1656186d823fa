/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The snapshot table of a qcow2 image, after "Snapshots" in QEMU's qcow2.txt. An entry has 40 fixed bytes,
 * then extra data, then id and name, and is padded to 8 bytes: the table can only be walked.
 */

#include "backends/image-internal.h"

#define ENTRY_FIXED 40U
#define EXTRA_DATA_MAX 1024U
#define ID_MAX 128U
#define NAME_MAX_SHOWN 256U
/* QEMU's limits of the format. */
#define SNAPSHOTS_POSSIBLE 65536U
#define TABLE_MAX (UINT64_C(1024) * SNAPSHOTS_POSSIBLE)

typedef struct Entry {
        uint32_t id_size, name_size, extra_size, seconds, nanoseconds;
        uint64_t vm_state_size;
} Entry;

static uint64_t entry_size(const Entry *e)
{
        return (ENTRY_FIXED + (uint64_t) e->extra_size + e->id_size + e->name_size + 7) & ~UINT64_C(7);
}

static int read_entry(const ImageFile *file, ImageInfo *info, uint64_t off, Entry *e)
{
        uint8_t h[ENTRY_FIXED + 8];
        size_t n = ENTRY_FIXED;
        int r;

        r = image_read(file, info, off, h, ENTRY_FIXED, "snapshot table");
        if (r <= 0)
                return r;
        *e = (Entry){
                .id_size = read_be16(h + 12),
                .name_size = read_be16(h + 14),
                .seconds = read_be32(h + 16),
                .nanoseconds = read_be32(h + 20),
                .vm_state_size = read_be32(h + 32),
                .extra_size = read_be32(h + 36),
        };
        if (e->extra_size > EXTRA_DATA_MAX) {
                r = image_problem(info, "A snapshot says that it has %" PRIu32 " bytes of extra data.",
                                  e->extra_size);
                return r < 0 ? r : 0;
        }
        if (e->extra_size >= 8) {
                r = image_read(file, info, off + n, h + n, 8, "snapshot table");
                if (r <= 0)
                        return r;
                e->vm_state_size = read_be64(h + n);
        }
        return 1;
}

static int read_names(const ImageFile *file, ImageInfo *info, uint64_t off, const Entry *e,
                      ImageSnapshot *ret)
{
        char id[ID_MAX], name[NAME_MAX_SHOWN];
        size_t n_id = e->id_size < ID_MAX ? e->id_size : ID_MAX;
        size_t n_name = e->name_size < NAME_MAX_SHOWN ? e->name_size : NAME_MAX_SHOWN;
        int r;

        off += ENTRY_FIXED + (uint64_t) e->extra_size;
        r = image_read(file, info, off, id, n_id, "snapshot table");
        if (r <= 0)
                return r;
        r = image_read(file, info, off + e->id_size, name, n_name, "snapshot table");
        if (r <= 0)
                return r;
        r = utf8_make_valid(id, n_id, &ret->id);
        if (r < 0)
                return r;
        r = utf8_make_valid(name, n_name, &ret->name);
        if (r < 0) {
                free(ret->id);
                return r;
        }
        return 1;
}

/* The array grows with what was really read, not with what the header promises. */
static int append(ImageExtra *extra, const ImageSnapshot *snapshot)
{
        if (is_power_of_2(extra->n_snapshots) || extra->n_snapshots == 0) {
                size_t room = extra->n_snapshots == 0 ? 1 : extra->n_snapshots * 2;
                ImageSnapshot *grown = reallocarray(extra->snapshots, room, sizeof(ImageSnapshot));

                if (!grown)
                        return -ENOMEM;
                extra->snapshots = grown;
        }
        extra->snapshots[extra->n_snapshots++] = *snapshot;
        return 0;
}

static int read_snapshot(const ImageFile *file, ImageInfo *info, uint64_t off, uint64_t *ret_size)
{
        ImageSnapshot snapshot = {};
        Entry e;
        int r;

        r = read_entry(file, info, off, &e);
        if (r <= 0)
                return r;
        r = read_names(file, info, off, &e, &snapshot);
        if (r <= 0)
                return r;
        snapshot.vm_state_size = e.vm_state_size;
        snapshot.time =
                (int64_t) e.seconds * (int64_t) USEC_PER_SEC + e.nanoseconds / (int64_t) NSEC_PER_USEC;
        r = append(info->extra, &snapshot);
        if (r < 0) {
                free(snapshot.id);
                free(snapshot.name);
                return r;
        }
        *ret_size = entry_size(&e);
        return 1;
}

int image_read_qcow2_snapshots(const ImageFile *file, ImageInfo *info, uint32_t n, uint64_t offset)
{
        uint64_t off = offset, size;
        int r;

        if (n == 0)
                return 0;
        if (n > SNAPSHOTS_POSSIBLE)
                return image_problem(
                        info, "The header speaks of %" PRIu32 " snapshots, more than an image can have.", n);
        if (!image_within(offset, (uint64_t) n * ENTRY_FIXED, file->size))
                return image_problem(info, "The snapshot table lies beyond the end of the file.");
        for (uint32_t i = 0; i < n && i < IMAGE_SNAPSHOTS_MAX; i++) {
                if (off - offset > TABLE_MAX)
                        return image_problem(info, "The snapshot table is larger than any can be.");
                r = read_snapshot(file, info, off, &size);
                if (r <= 0)
                        return r;
                off += size;
        }
        if (n > IMAGE_SNAPSHOTS_MAX) {
                info->extra->only_unlisted = !info->extra->problem;
                return image_problem(info, "Of %" PRIu32 " snapshots only the first %u are listed.", n,
                                     IMAGE_SNAPSHOTS_MAX);
        }
        return 0;
}
