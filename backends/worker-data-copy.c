/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The verb Copy: the contents of a volume into a new one that was reserved. Bytes are copied as they are
 * where both are plain, or a format cannot be written; all else is converted by qemu-img.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "backends/block-luks.h"
#include "backends/block-mark.h"
#include "backends/copy-raw.h"
#include "backends/file-volume.h"
#include "backends/format-record.h"
#include "backends/image-chain.h"
#include "backends/image-verify.h"
#include "backends/luks-check.h"
#include "backends/vmdk-name.h"
#include "backends/worker-data.h"

/* QEMU sees whole sectors only of an image. */
#define SECTOR_MASK UINT64_C(511)

typedef enum Reflink { REFLINK_AUTO, REFLINK_ALWAYS, REFLINK_NEVER } Reflink;

typedef struct Copy {
        BackendContext ctx;
        PoolDef *pool;
        VolumeDef *def;
        int to;
        bool device;        /* to is one */
        ImageFormat format; /* that it gets */
        ImageChain from;
        uint64_t head;  /* so many bytes are written last: see block-mark.h */
        uint64_t size;  /* what a guest sees of the source; 0: not known */
        bool snapshots; /* internal ones of the source */
        int zero, compress;
        Preallocation preallocation;
        Reflink reflink;
        ImagePlan plan;
} Copy;

static void copy_done(Copy *c)
{
        image_plan_done(&c->plan);
        volume_def_free(c->def);
        pool_def_free(c->pool);
}

static int fail(Copy *c, int r)
{
        return error_set_errno(c->ctx.error, r, "Cannot make volume '%s'", c->def->name);
}

static int refuse(Copy *c, const char *error_name, const char *why)
{
        return error_setf(c->ctx.error, error_name, "Cannot make volume '%s' in pool '%s': %s", c->def->name,
                          c->pool->name, why);
}

static int read_definitions(sd_bus_message *m, Copy *c)
{
        const char *pool_xml, *xml;
        int r;

        r = sd_bus_message_read(m, "ssh", &pool_xml, &xml, &c->to);
        if (r >= 0)
                r = pool_def_parse_xml(pool_xml, strlen(pool_xml), &c->pool, c->ctx.error);
        if (r >= 0)
                r = volume_def_parse_xml(xml, strlen(xml), c->pool->type, &c->def, c->ctx.error);
        c->ctx.pool = c->pool;
        return r;
}

static int read_copy(sd_bus_message *m, Copy *c)
{
        const char *preallocation = "", *reflink = "auto";
        const WorkerOption options[] = {
                {"secret", "s", &c->ctx.secret}, {"zero", "b", &c->zero},
                {"compress", "b", &c->compress}, {"preallocation", "s", &preallocation},
                {"reflink", "s", &reflink},
        };
        int r;

        r = read_definitions(m, c);
        if (r >= 0)
                r = image_chain_read(m, &c->from, c->ctx.error);
        if (r >= 0)
                r = worker_read_options(m, options, ELEMENTSOF(options));
        if (r >= 0)
                r = worker_parse_preallocation(preallocation, &c->preallocation, c->ctx.error);
        c->reflink = streq(reflink, "always")  ? REFLINK_ALWAYS
                     : streq(reflink, "never") ? REFLINK_NEVER
                                               : REFLINK_AUTO;
        return r;
}

static int look_at_device(Copy *c)
{
        uint64_t header = block_luks_header_size(&c->def->encryption), capacity;
        int r;

        r = copy_size(c->to, &capacity);
        if (r < 0)
                return fail(c, r);
        if (capacity < header || capacity - header < c->def->capacity)
                return refuse(c, STORAGE_ERROR_BUSY, "its source has become larger meanwhile; try again");
        if (c->size == 0 && !image_format_is_plain(c->from.formats[0]))
                return refuse(c, STORAGE_ERROR_UNSUPPORTED, "its source does not tell how large it is");
        c->def->capacity = capacity - header;
        /* A container has its own way with the mark. */
        if (header > 0)
                return 0;
        r = block_mark_find(c->to, 0, NULL);
        if (r < 0)
                return fail(c, r);
        if (r > 0)
                c->head = capacity < BLOCK_MARK_SIZE ? capacity : BLOCK_MARK_SIZE;
        return 0;
}

/* What can be known only now that the source cannot change any more. */
static int look(Copy *c)
{
        struct stat st;
        int r;

        if (fstat(c->to, &st) < 0)
                return fail(c, errno);
        c->device = S_ISBLK(st.st_mode);
        c->format = c->device ? IMAGE_RAW : image_format_from_string(strempty(c->def->format));
        r = image_chain_check(&c->ctx, &c->from, c->def->name, &c->size, &c->snapshots);
        if (r < 0)
                return r;
        if (c->from.formats[0] == IMAGE_LUKS && !c->from.secrets[0] && !image_format_is_plain(c->format))
                return refuse(c, STORAGE_ERROR_UNSUPPORTED,
                              "its source is encrypted: without its secret only a raw volume can be made of "
                              "it");
        if (c->size > c->def->capacity)
                c->def->capacity = c->size;
        return c->device ? look_at_device(c) : 0;
}

/* Formats whose files are copied as they are, as nothing can write them. */
static bool only_verbatim(ImageFormat format)
{
        return !image_format_is_plain(format) && format != IMAGE_QCOW2 && format != IMAGE_QCOW &&
               format != IMAGE_QED && format != IMAGE_VDI && format != IMAGE_VMDK && format != IMAGE_VPC;
}

/* One of them is opened with a secret: there is more to it than bytes. */
static bool with_secrets(const Copy *c)
{
        return c->from.secrets[0] || c->plan.encrypted;
}

/* Both are rows of bytes. */
static bool is_plain(const Copy *c)
{
        return image_format_is_plain(c->from.formats[0]) && image_format_is_plain(c->format) &&
               !with_secrets(c);
}

/* Whether the file of the source would be just what is asked for. */
static bool is_the_same(const Copy *c)
{
        const VolumeDef *d = c->def;

        return !c->device && !with_secrets(c) && c->from.n == 1 && !c->compress &&
               (image_format_is_plain(c->format)
                        ? image_format_is_plain(c->from.formats[0]) && c->plan.fill == 0
                        : c->from.formats[0] == c->format && c->size == d->capacity && !c->snapshots &&
                                  c->preallocation == PREALLOCATION_UNSET && !d->compat &&
                                  d->cluster_size == 0 && d->lazy_refcounts == TRISTATE_UNSET &&
                                  d->extended_l2 == TRISTATE_UNSET &&
                                  d->encryption.format == ENCRYPTION_NONE);
}

/* 1: done; 0: not possible, or not wanted. */
static int try_reflink(Copy *c)
{
        int r;

        if (c->reflink == REFLINK_NEVER)
                return 0;
        r = is_the_same(c) ? copy_reflink(c->from.fds[0], c->to) : -EOPNOTSUPP;
        if (r >= 0)
                return 1;
        if (r != -EOPNOTSUPP)
                return fail(c, r);
        if (c->reflink == REFLINK_AUTO)
                return 0;
        return refuse(
                c, STORAGE_ERROR_UNSUPPORTED,
                "it cannot share blocks with its source (reflink): for that both must be files of the "
                "same format on one file system that can do it, such as btrfs and xfs, and nothing may "
                "be changed on the way");
}

static int make_plan(Copy *c)
{
        _cleanup_close_ int dir_fd = -EBADF;
        int r;

        if (c->device) {
                c->plan.encrypted = c->def->encryption.format != ENCRYPTION_NONE;
                return luks_check(&c->ctx, c->def);
        }
        if (only_verbatim(c->format) && c->from.formats[0] == c->format)
                return 0;
        if (image_format_is_plain(c->format) && free_and_strdup(&c->def->format, "raw") < 0)
                return fail(c, ENOMEM);
        r = file_volume_folder(&c->ctx, &dir_fd);
        return r < 0 ? r : image_plan_make(&c->ctx, dir_fd, c->def, c->preallocation, &c->plan);
}

/* What was shared, or was the whole file, has the source's size. */
static int grow(Copy *c)
{
        if (!image_format_is_plain(c->format) || c->size == c->def->capacity)
                return 0;
        return ftruncate(c->to, (off_t) c->def->capacity) < 0 ? fail(c, errno) : 0;
}

static int copy_bytes(Copy *c)
{
        RawCopy copy = {
                .from = c->from.fds[0],
                .to = c->to,
                .start = c->head,
                .capacity = c->def->capacity,
                .zero = c->zero || !c->device,
                .own = c->reflink == REFLINK_NEVER,
                .name = c->def->name,
        };
        int r;

        r = copy_size(copy.from, &copy.size);
        if (r < 0)
                return fail(c, r);
        if (!image_format_is_plain(c->format)) {
                if (c->size < c->def->capacity)
                        return refuse(c, STORAGE_ERROR_UNSUPPORTED,
                                      "an image of that format can only be copied as it is, and so is as "
                                      "large as its source");
                copy.capacity = copy.size;
                if (ftruncate(c->to, (off_t) copy.size) < 0)
                        return fail(c, errno);
        } else if (!c->device) {
                r = file_volume_make(&c->ctx, c->def, &c->plan, c->to);
                if (r < 0)
                        return r;
        }
        return copy_raw(&c->ctx, &copy);
}

/*
 * Whether it can be written past the page cache: what was not written yet when that is cancelled need not
 * be, and the rest is on the disk sooner. Compressed clusters are no whole blocks.
 */
static bool can_be_direct(const Copy *c, int to)
{
        char path[sizeof("/proc/self/fd/") + 16];
        _cleanup_close_ int fd = -EBADF;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%i", to);
        fd = c->compress ? -EBADF : open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
        return fd >= 0;
}

/* The target's secret, if it is encrypted, and those of the source: *n more descriptors. */
static int add_secrets(Copy *c, QemuImgConvert *what, int *fds, size_t *n)
{
        int r;

        if (c->ctx.secret) {
                r = qemu_img_open_secret(&c->ctx, c->ctx.secret);
                if (r < 0)
                        return r;
                what->secret_fd = QEMU_IMG_FD + (unsigned) *n;
                fds[(*n)++] = r;
        }
        return image_chain_add_secrets(&c->ctx, &c->from, QEMU_IMG_FD + 1, fds, n, &what->objects);
}

/* The descriptors are those of the call: the target, the chain, then the secrets' files, which are opened
 * here. */
static int call_convert(Copy *c, QemuImgConvert *what, int fds[static QEMU_IMG_FDS_MAX])
{
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *said = NULL;
        size_t n = c->from.n + 1;
        int r;

        r = add_secrets(c, what, fds, &n);
        if (r >= 0 && (qemu_img_convert_argv(what, &argv) < 0 ||
                       asprintf(&said, "make volume '%s'", c->def->name) < 0)) {
                said = NULL;
                r = fail(c, ENOMEM);
        }
        if (r >= 0)
                r = qemu_img_call(&c->ctx, &(QemuImgCall){.argv = argv,
                                                          .fds = fds,
                                                          .n_fds = n,
                                                          .total = fds[0] == c->to ? c->size : 0,
                                                          .tells = fds[0] == c->to,
                                                          .compresses = c->compress,
                                                          .what = said});
        while (n > c->from.n + 1)
                safe_close(fds[--n]);
        strv_free(what->objects);
        return r;
}

/* What a guest sees of the source, from byte start to end, to offset in the file or device to. */
static int run_convert(Copy *c, int to, uint64_t start, uint64_t end, uint64_t offset)
{
        bool container = c->plan.encrypted && c->plan.format == IMAGE_RAW;
        QemuImgConvert what = {
                .target = QEMU_IMG_TARGET,
                .target_format = container   ? "luks"
                                 : c->device ? "raw"
                                             : image_format_to_qemu(c->plan.format),
                .device = to == c->to && c->device,
                /* What nobody has written to a container is decrypted to noise. */
                .zero = !container && (to != c->to || c->zero || !c->device),
                .compress = c->compress,
                .direct = can_be_direct(c, to),
                .offset = offset,
        };
        _cleanup_free_ char *source = NULL;
        int fds[QEMU_IMG_FDS_MAX] = {to};

        memcpy(fds + 1, c->from.fds, c->from.n * sizeof(int));
        if ((start == 0 && end == UINT64_MAX
                     ? image_chain_format(&c->from, QEMU_IMG_FD + 1, &source)
                     : image_chain_format_part(&c->from, QEMU_IMG_FD + 1, start, end, &source)) < 0)
                return fail(c, ENOMEM);
        what.source = source;
        return call_convert(c, &what, fds);
}

static int convert_to_file(Copy *c)
{
        int r;

        r = file_volume_make(&c->ctx, c->def, &c->plan, c->to);
        return r < 0 ? r : run_convert(c, c->to, 0, UINT64_MAX, 0);
}

/* What nothing is written to is noise, as it is in a new container. */
static int convert_to_container(Copy *c)
{
        int r;

        r = block_luks_begin(&c->ctx, c->def, c->to);
        if (r >= 0)
                r = run_convert(c, c->to, 0, UINT64_MAX, 0);
        return r < 0 ? r : block_luks_end(&c->ctx, c->def, c->to);
}

/* QEMU is told where the source ends: if it sees one that ends sooner it fails, and leaves no gap in which
 * the old contents of the device would be seen. */
static int convert_to_device(Copy *c)
{
        const uint64_t end = c->size & ~SECTOR_MASK, rest = end > c->head ? end : c->head;
        const RawCopy behind = {
                .from = c->from.fds[0],
                .to = c->to,
                .start = rest,
                .size = rest, /* nothing of the source's file: zeros only */
                .capacity = c->def->capacity,
                .zero = c->zero,
                .name = c->def->name,
        };
        int r;

        r = copy_raw(&c->ctx, &behind);
        return r < 0 || end <= c->head ? r : run_convert(c, c->to, c->head, end, c->head);
}

/* What belongs in the place of the mark, into data. */
static int read_head(Copy *c, bool plain, char data[static BLOCK_MARK_SIZE])
{
        uint64_t size = plain ? c->size : c->size & ~SECTOR_MASK, n = size < c->head ? size : c->head;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (n == 0)
                return 0;
        if (plain)
                return pread(c->from.fds[0], data, (size_t) n, 0) == (ssize_t) n ? 0 : fail(c, EIO);
        fd = memfd_create("storaged-head", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, BLOCK_MARK_SIZE) < 0)
                return fail(c, errno);
        r = run_convert(c, fd, 0, n, 0);
        if (r < 0)
                return r;
        return pread(fd, data, BLOCK_MARK_SIZE, 0) == (ssize_t) BLOCK_MARK_SIZE ? 0 : fail(c, EIO);
}

static int sync_all(Copy *c)
{
        if (fsync(c->to) >= 0)
                return 0;
        return error_set_errno(c->ctx.error, errno, "Cannot write volume '%s' to its storage", c->def->name);
}

/* All else is on the disk: with this it is whole. */
static int put_head(Copy *c, bool plain)
{
        char data[BLOCK_MARK_SIZE] = {0};
        int r;

        r = read_head(c, plain, data);
        if (r >= 0)
                r = sync_all(c);
        if (r < 0)
                return r;
        r = block_mark_replace(c->to, data, (size_t) c->head);
        return r < 0 ? fail(c, r) : 0;
}

/* A VMDK has its own name in it. */
static int set_own_name(Copy *c)
{
        int r = c->format == IMAGE_VMDK ? vmdk_set_extent_name(c->to, c->def->name) : 0;

        return r < 0 ? fail(c, r) : 0;
}

/* What a guest's disk begins with does not matter then. */
static bool is_recorded_raw(const Copy *c)
{
        struct stat st;

        return fstat(c->to, &st) >= 0 && format_is_recorded_raw(c->to, (uint64_t) st.st_size);
}

static int copy(Copy *c)
{
        bool plain = is_plain(c);
        int r;

        r = try_reflink(c);
        if (r > 0)
                r = grow(c);
        else if (r == 0)
                r = plain || (only_verbatim(c->format) && c->from.formats[0] == c->format) ? copy_bytes(c)
                    : c->device && c->plan.encrypted ? convert_to_container(c)
                    : c->device                      ? convert_to_device(c)
                                                     : convert_to_file(c);
        if (r >= 0 && c->head > 0)
                return put_head(c, plain);
        if (r >= 0)
                r = set_own_name(c);
        /* A guest's disk may begin with a header of its choice. */
        if (r >= 0 && !c->device && image_format_is_plain(c->format) && !is_recorded_raw(c))
                r = image_verify_format(&c->ctx, c->to, c->def->name, "raw");
        return r < 0 ? r : sync_all(c);
}

int data_worker_copy(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Copy c = {.ctx = data_context(userdata, NULL, error), .to = -EBADF};
        int r;

        r = read_copy(m, &c);
        if (r >= 0)
                r = look(&c);
        if (r >= 0)
                r = make_plan(&c);
        if (r >= 0)
                r = copy(&c);
        copy_done(&c);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}
