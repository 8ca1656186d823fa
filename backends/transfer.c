/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/transfer.h"

#include <inttypes.h>
#include <unistd.h>

#include "backends/file-allocate.h"
#include "backends/transfer-end.h"
#include "backends/transfer-hash.h"

#define BUFFER_SIZE (512U * 1024U)
/* What is looked at at once for being zero: smaller holes save little and cost much. */
#define GRAIN_SIZE (64U * 1024U)
/* Between two looks at whether it is cancelled. */
#define SLICE_SIZE (UINT64_C(8) * 1024 * 1024)

typedef struct Flow {
        const Transfer *t;
        TransferEnd from, to;
        uint64_t length, done;
        TransferHash *hash;
        uint8_t *buffers[2]; /* one is written while the other is hashed still */
        unsigned next;
        bool by_kernel;       /* copy_file_range() may work */
        bool writing;         /* the first byte is, or was, on its way */
        uint64_t begin, sent; /* in to: for file_write_behind() */
} Flow;

static void flow_done(Flow *f)
{
        f->hash = transfer_hash_free(f->hash);
        free(f->buffers[0]);
        free(f->buffers[1]);
}

static int before_write(Flow *f)
{
        if (f->writing)
                return 0;
        f->writing = true;
        return f->t->writing && !f->to.foreign ? f->t->writing(f->t) : 0;
}

/* After each piece: the storage is not let fall behind, and whether to go on is asked. */
static int advance(Flow *f, uint64_t n)
{
        int r = 0;

        f->done += n;
        if (!f->to.sequential)
                r = file_write_behind(f->to.fd, f->begin, f->to.offset, &f->sent);
        if (r < 0 && r != -EINTR && !f->to.foreign)
                return end_fail(&f->to, r, true);
        f->t->ctx->progress(f->t->ctx, f->done, f->length);
        return end_check_cancelled(&f->to);
}

static int fail_short(Flow *f)
{
        return error_setf(f->t->ctx->error, STORAGE_ERROR_FAILED,
                          "What is read for volume '%s' ended after %" PRIu64 " of %" PRIu64 " bytes",
                          f->t->name, f->done, f->length);
}

static bool is_zero(const uint8_t *data, size_t n)
{
        return data[0] == 0 && memcmp(data, data + 1, n - 1) == 0;
}

/* Runs of grains that are zero become holes. */
static int write_grains(Flow *f, const uint8_t *data, size_t n)
{
        int r = 0;

        for (size_t i = 0, begin; r >= 0 && i < n;) {
                bool zero = is_zero(data + i, n - i < GRAIN_SIZE ? n - i : GRAIN_SIZE);

                begin = i;
                do
                        i += n - i < GRAIN_SIZE ? n - i : GRAIN_SIZE;
                while (i < n && is_zero(data + i, n - i < GRAIN_SIZE ? n - i : GRAIN_SIZE) == zero);
                r = zero ? end_write_zeros(&f->to, i - begin) : end_write(&f->to, data + begin, i - begin);
        }
        return r;
}

static int copy_through_memory(Flow *f, uint64_t n)
{
        bool grains = f->t->sparse && !f->to.sequential && (f->to.kind == END_FILE || f->to.zero);
        int r = 0;

        while (r >= 0 && n > 0) {
                uint8_t *buffer = f->buffers[f->next];
                size_t got = 0;

                r = end_read(&f->from, buffer, n < BUFFER_SIZE ? (size_t) n : BUFFER_SIZE, &got);
                if (r >= 0 && got == 0)
                        r = fail_short(f);
                if (r >= 0)
                        r = before_write(f);
                if (r < 0)
                        return r;
                if (f->hash)
                        transfer_hash_add(f->hash, buffer, got);
                r = grains ? write_grains(f, buffer, got) : end_write(&f->to, buffer, got);
                f->next = !f->next;
                n -= got;
                if (r >= 0)
                        r = advance(f, got);
        }
        return r;
}

/* 1: all of it; 0: not between these two, *n is left. */
static int copy_by_kernel(Flow *f, uint64_t *n)
{
        int r = before_write(f);

        while (r >= 0 && *n > 0) {
                off_t in = (off_t) f->from.offset, out = (off_t) f->to.offset;
                ssize_t done = copy_file_range(f->from.fd, &in, f->to.fd, &out,
                                               *n < SLICE_SIZE ? *n : SLICE_SIZE, 0);

                if (done == 0 ||
                    (done < 0 && errno != EINTR && errno != ENOSPC && errno != EDQUOT && errno != EIO)) {
                        /* Not between these file systems; or the end, which is seen there too. */
                        f->by_kernel = false;
                        return 0;
                }
                if (done < 0 && errno != EINTR)
                        return end_fail(&f->to, errno, true);
                if (done > 0) {
                        f->from.offset += (uint64_t) done;
                        f->to.offset += (uint64_t) done;
                        *n -= (uint64_t) done;
                }
                r = advance(f, done > 0 ? (uint64_t) done : 0);
        }
        return r < 0 ? r : 1;
}

static int copy_data(Flow *f, uint64_t n)
{
        int r = f->by_kernel ? copy_by_kernel(f, &n) : 0;

        return r != 0 ? r : copy_through_memory(f, n);
}

static int copy_hole(Flow *f, uint64_t n)
{
        int r = before_write(f);

        if (f->hash) {
                transfer_hash_wait(f->hash);
                memset(f->buffers[0], 0, BUFFER_SIZE);
        }
        while (r >= 0 && n > 0) {
                uint64_t slice = n < SLICE_SIZE ? n : SLICE_SIZE;

                for (uint64_t left = f->hash ? slice : 0; left > 0;) {
                        size_t part = left < BUFFER_SIZE ? (size_t) left : BUFFER_SIZE;

                        transfer_hash_add(f->hash, f->buffers[0], part);
                        left -= part;
                }
                r = end_write_zeros(&f->to, slice);
                f->from.offset += slice;
                n -= slice;
                if (r >= 0)
                        r = advance(f, slice);
        }
        if (f->hash)
                transfer_hash_wait(f->hash);
        return r;
}

static int flow(Flow *f)
{
        int r = 0;

        while (r >= 0 && f->done < f->length) {
                uint64_t n = f->length - f->done;

                if (f->t->sparse && end_next_is_hole(&f->from, n, &n))
                        r = copy_hole(f, n);
                else
                        r = copy_data(f, n);
        }
        return r;
}

static int prepare(Flow *f)
{
        const Transfer *t = f->t;
        int r;

        for (size_t i = 0; i < 2; i++) {
                f->buffers[i] = malloc(BUFFER_SIZE);
                if (!f->buffers[i])
                        return error_set_errno(t->ctx->error, ENOMEM, "Cannot transfer volume '%s'",
                                               t->name);
        }
        r = t->sha256 ? transfer_hash_new(&f->hash) : 0;
        if (r < 0)
                return error_set_errno(t->ctx->error, r, "Cannot make a checksum for volume '%s'", t->name);
        if (end_is_same(&f->from, &f->to))
                return error_setf(t->ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                  "The descriptor that was given for volume '%s' is that volume itself",
                                  t->name);
        f->begin = f->sent = f->to.offset;
        /* To a stream nothing goes but copies: what is in the page cache may change before it is read there.
         */
        f->by_kernel = !t->sparse && !t->sha256 && f->from.kind == END_FILE && f->to.kind == END_FILE &&
                       !f->to.sequential;
        return 0;
}

static int check_offset(Flow *f, const TransferEnd *volume)
{
        const Transfer *t = f->t;

        if (t->offset <= volume->size)
                return 0;
        return error_setf(t->ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "Volume '%s' has %" PRIu64 " bytes: nothing of it is at %" PRIu64, t->name,
                          volume->size, t->offset);
}

/* What is to be read is there, as far as that can be told beforehand. */
static int set_length(Flow *f)
{
        const TransferEnd *from = &f->from;
        const Transfer *t = f->t;
        uint64_t left = from->offset < from->size ? from->size - from->offset : 0;

        f->length = t->length;
        if (end_is_stream(from))
                return t->length < UINT64_MAX
                               ? 0
                               : error_setf(t->ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                            "A pipe or socket does not tell how much will come for volume "
                                            "'%s': give the length",
                                            t->name);
        if (t->length == UINT64_MAX)
                f->length = left;
        if (f->length <= left)
                return 0;
        return error_setf(t->ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "There are %" PRIu64 " bytes to be read for volume '%s', not %" PRIu64, left,
                          t->name, f->length);
}

static int check_room(Flow *f)
{
        const TransferEnd *to = &f->to;
        const Transfer *t = f->t;

        if ((t->grow || t->fresh) && to->kind == END_FILE)
                return f->length <= INT64_MAX - to->offset
                               ? 0
                               : error_setf(t->ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                                            "Volume '%s' cannot become that large", t->name);
        if (f->length <= to->size - to->offset)
                return 0;
        return error_setf(t->ctx->error, STORAGE_ERROR_INVALID_ARGUMENT,
                          "Volume '%s' has %" PRIu64 " bytes: %" PRIu64 " do not fit at %" PRIu64, t->name,
                          to->size, f->length, to->offset);
}

static int finish(Flow *f, TransferResult *ret)
{
        int r = 0;

        if (f->t->fresh && f->to.kind == END_DEVICE)
                r = end_write_zeros(&f->to, f->to.size - f->to.offset);
        if (r >= 0)
                r = end_sync(&f->to);
        if (r < 0)
                return r;
        *ret = (TransferResult){.bytes = f->done};
        if (f->hash)
                transfer_hash_end(f->hash, ret->sha256);
        return 0;
}

int transfer_in(const Transfer *t, TransferResult *ret)
{
        Flow f = {.t = t};
        int r;

        r = end_open(t->ctx, t->volume, t->name, false, true, &f.to);
        if (r >= 0)
                r = end_open(t->ctx, t->peer, t->name, true, false, &f.from);
        if (r < 0)
                return r;
        f.to.offset = t->offset;
        f.to.zero = t->zero;
        r = check_offset(&f, &f.to);
        if (r >= 0)
                r = set_length(&f);
        if (r >= 0)
                r = check_room(&f);
        if (r >= 0)
                r = prepare(&f);
        if (r >= 0 && t->fresh)
                r = end_hold_head(&f.to);
        if (r >= 0)
                r = flow(&f);
        end_done(&f.from);
        if (r >= 0)
                r = finish(&f, ret);
        end_done(&f.to);
        flow_done(&f);
        return r;
}

int transfer_out(const Transfer *t, TransferResult *ret)
{
        Flow f = {.t = t};
        int r;

        r = end_open(t->ctx, t->volume, t->name, false, false, &f.from);
        if (r >= 0)
                r = end_open(t->ctx, t->peer, t->name, true, true, &f.to);
        if (r < 0)
                return r;
        f.from.offset = t->offset;
        r = check_offset(&f, &f.from);
        if (r >= 0)
                r = set_length(&f);
        if (r >= 0)
                r = prepare(&f);
        if (r >= 0)
                r = flow(&f);
        if (r >= 0)
                r = finish(&f, ret);
        end_done(&f.to);
        flow_done(&f);
        return r;
}

int transfer_measure(BackendContext *ctx, int peer, const char *name, uint64_t *ret)
{
        const Transfer t = {.ctx = ctx, .name = name, .length = UINT64_MAX};
        Flow f = {.t = &t};
        int r;

        r = end_open(ctx, peer, name, true, false, &f.from);
        if (r < 0)
                return r;
        r = set_length(&f);
        if (r >= 0)
                *ret = f.length;
        end_done(&f.from);
        return r;
}
