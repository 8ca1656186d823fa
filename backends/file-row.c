/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/file-row.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "backends/file-needs.h"
#include "backends/format-record.h"
#include "backends/image-chain.h"
#include "backends/real-path.h"

#define NSEC_PER_SEC INT64_C(1000000000)
#define BLOCK_SIZE 512U
#define LABEL_MAX 1024U

int file_open_quietly(int dir_fd, const char *name)
{
        int fd = openat(dir_fd, name, FILE_OPEN_FLAGS | O_NOATIME);

        /* Only a file's owner may ask for it. */
        if (fd < 0 && errno == EPERM)
                fd = openat(dir_fd, name, FILE_OPEN_FLAGS);
        return fd < 0 ? -errno : fd;
}

/* Nanoseconds reach from 1678 to 2262; file systems hold times beyond. */
static int64_t time_ns(const struct statx_timestamp *t)
{
        const int64_t limit = INT64_MAX / NSEC_PER_SEC - 1;

        if (t->tv_sec > limit || t->tv_sec < -limit)
                return t->tv_sec > 0 ? INT64_MAX : INT64_MIN;
        return t->tv_sec * NSEC_PER_SEC + t->tv_nsec;
}

static int64_t birth_ns(const struct statx *stx)
{
        return stx->stx_mask & STATX_BTIME ? time_ns(&stx->stx_btime) : 0;
}

void file_row_set_stat(VolumeRow *row, const struct statx *stx)
{
        bool folder = S_ISDIR(stx->stx_mode);

        row->type = folder ? VOLUME_DIR : VOLUME_FILE;
        row->allocation = folder ? 0 : stx->stx_blocks * BLOCK_SIZE;
        row->physical = folder ? 0 : stx->stx_size;
        row->atime = time_ns(&stx->stx_atime);
        row->btime = birth_ns(stx);
        row->ctime = time_ns(&stx->stx_ctime);
        row->mtime = time_ns(&stx->stx_mtime);
        row->mode = stx->stx_mode & 07777;
        row->owner = stx->stx_uid;
        row->group = stx->stx_gid;
        row->dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
        row->ino = stx->stx_ino;
}

bool file_row_has_stat(const VolumeRow *row, const struct statx *stx)
{
        VolumeRow now;

        file_row_set_stat(&now, stx);
        return row->type == now.type && row->allocation == now.allocation && row->physical == now.physical &&
               row->atime == now.atime && row->btime == now.btime && row->ctime == now.ctime &&
               row->mtime == now.mtime && row->mode == now.mode && row->owner == now.owner &&
               row->group == now.group;
}

static VolumeExtra *row_extra(VolumeRow *row)
{
        if (!row->extra)
                row->extra = volume_extra_new();
        return row->extra;
}

static int set_label(int fd, VolumeRow *row)
{
        static atomic_int known = -1;
        int enabled = atomic_load(&known);
        char label[LABEL_MAX];
        VolumeExtra *extra;
        ssize_t n;

        if (enabled < 0) {
                enabled = access("/sys/fs/selinux/status", F_OK) >= 0;
                atomic_store(&known, enabled);
        }
        if (!enabled)
                return 0;
        n = fgetxattr(fd, "security.selinux", label, sizeof(label));
        if (n <= 0)
                return 0;
        extra = row_extra(row);
        return extra ? utf8_make_valid(label, (size_t) n, &extra->label) : -ENOMEM;
}

/* A name in a header is relative to the image's folder; in a row it is a path, as libvirt shows it. */
static int complete_backing(const char *folder, VolumeExtra *extra)
{
        char *path;

        if (extra->backing_path[0] == '/')
                return 0;
        if (asprintf(&path, "%s/%s", folder, extra->backing_path) < 0)
                return -ENOMEM;
        free(extra->backing_path);
        extra->backing_path = path;
        return 0;
}

/*
 * A file has many paths ("./x", "../pool/x", through a link), and the daemon has to see that they are one: whoever
 * is built on a volume keeps it from being deleted. Devices have names that are links, by which they are known.
 */
static int resolve_backing(const char *folder, VolumeExtra *extra)
{
        _cleanup_close_ int fd = -EBADF;
        char *real;
        int r;

        if (isempty(extra->backing_path) || extra->backing_remote)
                return 0;
        r = complete_backing(folder, extra);
        if (r < 0)
                return r;
        extra->backing_missing = !file_row_backing_is_there(extra);
        if (extra->backing_missing || startswith(extra->backing_path, "/dev/"))
                return 0;
        fd = open(extra->backing_path, O_PATH | O_CLOEXEC);
        r = fd < 0 ? -errno : real_path(fd, &real);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        free(extra->backing_path);
        extra->backing_path = real;
        return 0;
}

static int take_snapshots(ImageExtra *from, VolumeExtra *to)
{
        if (from->n_snapshots == 0)
                return 0;
        to->snapshots = calloc(from->n_snapshots, sizeof(VolumeSnapshot));
        if (!to->snapshots)
                return -ENOMEM;
        for (size_t i = 0; i < from->n_snapshots; i++) {
                ImageSnapshot *s = from->snapshots + i;

                to->snapshots[i] = (VolumeSnapshot){
                        .name = TAKE_PTR(s->name),
                        .id = TAKE_PTR(s->id),
                        .size = s->vm_state_size,
                        .time = s->time,
                };
        }
        to->n_snapshots = from->n_snapshots;
        return 0;
}

/* What is wrong with an image that its header admits itself. */
static int set_problem(ImageExtra *from, VolumeExtra *to)
{
        to->problem = TAKE_PTR(from->problem);
        if (to->problem || !from->corrupt)
                return 0;
        to->problem = strdup("The image is marked as corrupt in its header; qemu-img check may repair it");
        return to->problem ? 0 : -ENOMEM;
}

bool file_row_backing_is_there(const VolumeExtra *extra)
{
        struct statx stx;

        if (!extra || isempty(extra->backing_path) || extra->backing_remote)
                return true;
        /* Nothing is mounted for it, and no server is asked. Who may not look does not know that it is
         * missing. */
        return statx(AT_FDCWD, extra->backing_path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE,
                     &stx) >= 0 ||
               (errno != ENOENT && errno != ENOTDIR);
}

static int take_extra(const char *folder, ImageExtra *from, VolumeRow *row)
{
        VolumeExtra *to = row_extra(row);
        int r;

        if (!to)
                return -ENOMEM;
        to->backing_path = TAKE_PTR(from->backing_path);
        to->backing_format = TAKE_PTR(from->backing_format);
        to->backing_remote = from->backing_json;
        to->encryption = from->encryption;
        to->cipher_name = TAKE_PTR(from->cipher_name);
        to->cipher_mode = TAKE_PTR(from->cipher_mode);
        to->cipher_hash = TAKE_PTR(from->cipher_hash);
        to->cipher_size = from->cipher_size;
        to->compat = TAKE_PTR(from->compat);
        to->lazy_refcounts = from->lazy_refcounts;
        to->extended_l2 = from->extended_l2;
        to->data_file = TAKE_PTR(from->data_file);
        to->cluster_size = from->cluster_size;
        to->damaged = image_is_damaged(from);
        r = set_problem(from, to);
        if (r < 0)
                return r;
        r = resolve_backing(folder, to);
        if (r >= 0)
                r = file_needs_find(folder, to);
        return r < 0 ? r : take_snapshots(from, to);
}

/* What it looks like is for people to know only. */
static int set_recorded_raw(const ImageFile *file, ImageFormat found, VolumeRow *row)
{
        VolumeExtra *extra = row_extra(row);

        if (!extra)
                return -ENOMEM;
        row->format = volume_format_intern("raw");
        row->format_probed = false;
        row->capacity = file->size;
        if (asprintf(&extra->problem,
                     "It was made as a raw volume and is one, but begins like an image of format %s: a guest may have "
                     "written that. If it is to be one, remove the attribute user.storaged.format of the file",
                     image_format_to_string(found)) >= 0)
                return 0;
        extra->problem = NULL;
        return -ENOMEM;
}

static int probe_contents(const ImageFile *file, const char *folder, VolumeRow *row)
{
        ImageInfo info = {0};
        int r;

        r = image_probe(file, &info);
        if (r < 0)
                return r;
        if (!image_format_is_plain(info.format)) {
                if (format_is_recorded_raw(file->fd, file->size)) {
                        r = set_recorded_raw(file, info.format, row);
                        image_info_done(&info);
                        return r;
                }
                /* One that does not hold shall not do so again once the image has grown. */
                (void) format_record_remove(file->fd);
        }
        row->format = volume_format_intern(image_format_to_string(info.format));
        row->capacity = info.capacity > 0 ? info.capacity : file->size;
        r = info.extra ? take_extra(folder, info.extra, row) : 0;
        image_info_done(&info);
        return r;
}

int file_row_probe(int fd, const char *folder, const LockedFiles *locked, const struct statx *stx,
                   VolumeRow *row)
{
        uint8_t head[IMAGE_HEAD_SIZE];
        ImageFile file = {
                .fd = fd,
                .head = head,
                .size = stx->stx_size,
                .allocated = stx->stx_blocks * BLOCK_SIZE,
                .name = row->name,
        };
        ssize_t n;
        int r;

        n = stx->stx_size > 0 ? pread(fd, head, sizeof(head), 0) : 0;
        if (n < 0)
                return file_row_set_unreadable(row, stx, errno);
        file.n_head = (size_t) n;
        row->format_probed = true;
        row->in_use = locked_files_may_have(locked, stx) && image_in_use(fd);
        if (image_is_plain_raw(&file)) {
                row->format = volume_format_intern("raw");
                row->capacity = file.size;
        } else {
                r = probe_contents(&file, folder, row);
                if (r < 0)
                        return r;
        }
        return set_label(fd, row);
}

int file_row_set_unreadable(VolumeRow *row, const struct statx *stx, int error)
{
        VolumeExtra *extra = row_extra(row);

        if (!extra)
                return -ENOMEM;
        row->format = volume_format_intern("raw");
        row->format_probed = true;
        row->capacity = stx->stx_size;
        free(extra->problem);
        if (asprintf(&extra->problem, "The file cannot be read, so that its format is not known: %s",
                     strerrordesc_np(error)) < 0) {
                extra->problem = NULL;
                return -ENOMEM;
        }
        return 0;
}

void file_row_set_folder(VolumeRow *row)
{
        row->format = volume_format_intern("dir");
        row->capacity = 0;
}

int file_row_read(int fd, const char *folder, const char *name, VolumeRow *ret)
{
        VolumeRow row = {0};
        struct statx stx;
        int r = 0;

        /* Looking must not change what was seen; only an owner may ask for that. */
        (void) fcntl(fd, F_SETFL, O_NOATIME);
        if (statx(fd, "", AT_EMPTY_PATH, FILE_STATX_MASK, &stx) < 0)
                return -errno;
        row.name = strdup(name);
        if (!row.name)
                return -ENOMEM;
        file_row_set_stat(&row, &stx);
        if (S_ISDIR(stx.stx_mode))
                file_row_set_folder(&row);
        else
                r = file_row_probe(fd, folder, NULL, &stx, &row);
        if (r < 0)
                volume_row_done(&row);
        else
                *ret = row;
        return r;
}
