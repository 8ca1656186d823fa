/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/image-rebase.h"

#include <sys/stat.h>

#include "backends/copy-raw.h"
#include "backends/file-replace.h"

/* What qcow2 has room for in its header. */
#define BACKING_NAME_MAX 1023U

static int fail(BackendContext *ctx, const char *volume, int r)
{
        return error_set_errno(ctx->error, r, "Cannot change what volume '%s' is built on", volume);
}

static int refuse(BackendContext *ctx, const char *volume, const char *why)
{
        return error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                          "Cannot change what volume '%s' is built on: %s", volume, why);
}

/* The formats of which QEMU can change the header. */
static int require_format(BackendContext *ctx, const char *volume, ImageFormat format)
{
        if (format == IMAGE_QCOW2 || format == IMAGE_QED)
                return 0;
        return refuse(ctx, volume, "only images of the formats qcow2 and qed can have that changed");
}

/* On the images of one chain, and of another one behind it, if there is one, whose descriptors come in that
 * order. */
static int run(BackendContext *ctx, const char *const *arguments, const ImageChain *one,
               const ImageChain *other, uint64_t total, const char *what)
{
        const size_t n_images = one->n + (other ? other->n : 0);
        _cleanup_strv_free_ char **argv = NULL;
        int fds[QEMU_IMG_FDS_MAX];
        size_t n = n_images;
        int r = 0;

        memcpy(fds, one->fds, one->n * sizeof(int));
        if (other)
                memcpy(fds + one->n, other->fds, other->n * sizeof(int));
        for (; r >= 0 && *arguments; arguments++)
                r = strv_extend(&argv, *arguments);
        if (r < 0)
                r = error_set_errno(ctx->error, r, "Cannot %s", what);
        if (r >= 0)
                r = image_chain_add_secrets(ctx, one, QEMU_IMG_FD, fds, &n, &argv);
        if (r >= 0 && other)
                r = image_chain_add_secrets(ctx, other, QEMU_IMG_FD + (unsigned) one->n, fds, &n, &argv);
        if (r >= 0)
                r = qemu_img_call(ctx, &(QemuImgCall){.argv = argv,
                                                      .fds = fds,
                                                      .n_fds = n,
                                                      .total = total,
                                                      .tells = true,
                                                      .what = what});
        while (n > n_images)
                safe_close(fds[--n]);
        return r;
}

/* The file as it is: with all that is in it besides what the guest sees, such as snapshots. */
static int copy_file(BackendContext *ctx, const ImageRebase *b, int to)
{
        RawCopy copy = {.from = b->image->fds[0], .to = to, .zero = true, .name = b->volume};
        int r;

        r = copy_reflink(copy.from, copy.to);
        if (r != -EOPNOTSUPP)
                return r < 0 ? fail(ctx, b->volume, r) : 0;
        r = copy_size(copy.from, &copy.size);
        if (r >= 0 && ftruncate(to, (off_t) copy.size) < 0)
                r = -errno;
        if (r < 0)
                return fail(ctx, b->volume, r);
        copy.capacity = copy.size;
        return copy_raw(ctx, &copy);
}

static int check_path(BackendContext *ctx, const char *volume, const char *path)
{
        if (strlen(path) <= BACKING_NAME_MAX)
                return 0;
        return refuse(ctx, volume, "the path of the new backing volume is too long for its header");
}

/* alone: the image by itself. backing_format: ours, for which QEMU may have another word. */
static int record(BackendContext *ctx, const char *volume, const ImageChain *alone, const char *path,
                  const char *backing_format)
{
        ImageFormat format = image_format_from_string(backing_format);
        const char *name = format < _IMAGE_FORMAT_MAX ? image_format_to_qemu(format) : NULL;
        _cleanup_free_ char *image = NULL, *what = NULL;
        int r;

        if (!name)
                return refuse(ctx, volume, "QEMU cannot read the format of the new backing volume");
        r = check_path(ctx, volume, path);
        if (r < 0)
                return r;
        if (image_chain_format(alone, QEMU_IMG_FD, &image) < 0 ||
            asprintf(&what, "record another backing volume in volume '%s'", volume) < 0)
                return fail(ctx, volume, ENOMEM);
        return run(ctx,
                   (const char *const[]){"qemu-img", "rebase", "-q", "-u", "-b", path, "-F", name, image,
                                         NULL},
                   alone, NULL, 0, what);
}

/* Copies in all in which the old and the new chain differ. */
static int merge(BackendContext *ctx, const ImageRebase *b, int to, uint64_t capacity)
{
        _cleanup_free_ char *image = NULL, *backing = NULL, *what = NULL;
        ImageChain chain = *b->image;

        chain.fds[0] = to;
        if (chain.n + b->backing->n > QEMU_IMG_FDS_MAX)
                return refuse(ctx, b->volume,
                              "too many images are built on each other; flatten some of them first");
        if (image_chain_format(&chain, QEMU_IMG_FD, &image) < 0 ||
            image_chain_format(b->backing, QEMU_IMG_FD + (unsigned) chain.n, &backing) < 0 ||
            asprintf(&what, "copy what volume '%s' is built on", b->volume) < 0)
                return fail(ctx, b->volume, ENOMEM);
        if (b->backing->n == 0)
                return run(ctx, (const char *const[]){"qemu-img", "rebase", "-p", "-b", "", image, NULL},
                           &chain, NULL, capacity, what);
        /* It is recorded for a moment, in a file that nobody knows yet. */
        if (strlen(backing) > BACKING_NAME_MAX)
                return refuse(
                        ctx, b->volume,
                        "its new backing volume has too many images behind it; flatten one of them first");
        return run(ctx,
                   (const char *const[]){"qemu-img", "rebase", "-p", "-b", backing, "-F",
                                         image_format_to_qemu(b->backing->formats[0]), image, NULL},
                   &chain, b->backing, capacity, what);
}

/* What a snapshot has not of its own it has from the backing store too, and nobody would copy that. */
static int check(BackendContext *ctx, const char *volume, const ImageChain *image, uint64_t *ret_capacity)
{
        bool snapshots = false;
        int r;

        r = image_chain_check(ctx, image, volume, ret_capacity, &snapshots);
        if (r >= 0 && snapshots)
                r = refuse(ctx, volume, "the snapshots in it need that as it is; delete them first");
        return r;
}

static int fill(BackendContext *ctx, const ImageRebase *b, int to, uint64_t capacity)
{
        int r;

        r = copy_file(ctx, b, to);
        if (r >= 0)
                r = merge(ctx, b, to, capacity);
        if (r >= 0 && b->backing->n > 0)
                r = record(ctx, b->volume,
                           &(ImageChain){.n = 1,
                                         .fds = {to},
                                         .formats = {b->image->formats[0]},
                                         .secrets = {b->image->secrets[0]}},
                           b->backing_path, b->backing_format);
        return r;
}

int image_rebase(BackendContext *ctx, const ImageRebase *b)
{
        Replacement replacement;
        uint64_t capacity = 0, ignored;
        bool snapshots;
        int r;

        r = require_format(ctx, b->volume, b->image->formats[0]);
        if (r >= 0)
                r = check(ctx, b->volume, b->image, &capacity);
        if (r >= 0 && b->backing->n > 0)
                r = image_chain_check(ctx, b->backing, b->volume, &ignored, &snapshots);
        if (r >= 0)
                r = file_replace_begin(ctx, b->volume, b->image->fds[0], &replacement);
        if (r < 0)
                return r;
        r = fill(ctx, b, replacement.new.fd, capacity);
        if (r >= 0)
                r = file_replace_publish(&replacement);
        file_replace_done(&replacement);
        return r;
}

/* QEMU opens the image for this, and with it what its header names besides the backing store. */
static int check_header(BackendContext *ctx, const char *volume, int fd, ImageFormat format)
{
        uint8_t head[IMAGE_HEAD_SIZE];
        ImageInfo info = {};
        ImageFile file;
        int r;

        r = image_chain_probe(fd, head, &file, &info);
        if (r < 0)
                return fail(ctx, volume, r);
        if (info.format != format)
                r = refuse(ctx, volume, "it is not of the format that it should have; try again");
        else if (image_is_damaged(info.extra))
                r = error_setf(ctx->error, STORAGE_ERROR_FAILED,
                               "Cannot change what volume '%s' is built on: it is damaged, or cannot be "
                               "understood",
                               volume);
        else if (info.extra && info.extra->external_data)
                r = refuse(ctx, volume, "its data is in another file");
        image_info_done(&info);
        return r;
}

int image_record_backing(BackendContext *ctx, const char *volume, int fd, ImageFormat format,
                         const char *backing_path, const char *backing_format,
                         int (*writing)(void *userdata), void *userdata)
{
        int r;

        r = require_format(ctx, volume, format);
        if (r >= 0)
                r = check_path(ctx, volume, backing_path);
        if (r >= 0)
                r = check_header(ctx, volume, fd, format);
        if (r >= 0)
                r = writing(userdata);
        if (r >= 0)
                r = record(ctx, volume,
                           &(ImageChain){.n = 1, .fds = {fd}, .formats = {format}, .secrets = {ctx->secret}},
                           backing_path, backing_format);
        if (r >= 0 && fsync(fd) < 0)
                r = error_set_errno(ctx->error, errno, "Cannot write volume '%s' to its storage", volume);
        return r;
}

int image_commit(BackendContext *ctx, const char *volume, const ImageChain *image,
                 int (*writing)(void *userdata), void *userdata)
{
        _cleanup_free_ char *name = NULL, *what = NULL;
        uint64_t capacity = 0, size = 0;
        struct stat st;
        int r;

        r = check(ctx, volume, image, &capacity);
        if (r < 0)
                return r;
        if (fstat(image->fds[1], &st) < 0 || (S_ISBLK(st.st_mode) && copy_size(image->fds[1], &size) < 0))
                return error_set_errno(ctx->error, EIO, "Cannot look at what volume '%s' is built on",
                                       volume);
        if (S_ISBLK(st.st_mode) && size < capacity)
                return error_setf(ctx->error, STORAGE_ERROR_NO_SPACE,
                                  "Volume '%s' cannot be committed: it is larger than what it is built on; "
                                  "resize that "
                                  "first",
                                  volume);
        if (image_chain_format(image, QEMU_IMG_FD, &name) < 0 ||
            asprintf(&what, "commit volume '%s'", volume) < 0)
                return error_set_errno(ctx->error, ENOMEM, "Cannot commit volume '%s'", volume);
        r = writing(userdata);
        if (r < 0)
                return r;
        /* -d: the image keeps what it has, so that being cut off loses nothing. */
        r = run(ctx, (const char *const[]){"qemu-img", "commit", "-p", "-d", name, NULL}, image, NULL,
                capacity, what);
        if (r >= 0 && fsync(image->fds[1]) < 0)
                r = error_set_errno(ctx->error, errno,
                                    "Cannot write what volume '%s' is built on to its storage", volume);
        return r;
}
