/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/luks-check.h"

#include <inttypes.h>

/* QEMU's cipher if none is asked for: aes-256. */
#define KEY_BITS_DEFAULT 256U
/* A key is spread over 4000 stripes of its length, which QEMU encrypts in sectors of 512 bytes. */
#define KEY_MULTIPLE 16U

uint64_t luks_key_size(const VolumeEncryption *e)
{
        uint64_t key = (e->cipher_name ? e->cipher_size : KEY_BITS_DEFAULT) / 8;

        /* QEMU's mode if none is asked for, which needs two keys. */
        return !e->cipher_mode || streq(e->cipher_mode, "xts") ? key * 2 : key;
}

/* QEMU 7.2 does not refuse keys that fill no whole sectors, but aborts. */
static int check_key(BackendContext *ctx, const VolumeDef *def)
{
        const VolumeEncryption *e = &def->encryption;

        if (luks_key_size(e) % KEY_MULTIPLE == 0)
                return 0;
        return error_setf(
                ctx->error, STORAGE_ERROR_UNSUPPORTED,
                "Volume '%s' of pool '%s' cannot be made with the cipher %s of %" PRIu32
                " bits in mode %s: QEMU cannot make LUKS containers with such keys; with 128 or 256 bits, "
                "or in mode xts, it can",
                def->name, ctx->pool->name, strempty(e->cipher_name), e->cipher_size,
                strempty(e->cipher_mode));
}

/* "default" leaves the choice to us, as it does in libvirt. */
int luks_check(BackendContext *ctx, const VolumeDef *def)
{
        EncryptionFormat e = def->encryption.format;

        if (e == ENCRYPTION_NONE)
                return 0;
        if (e == ENCRYPTION_LUKS || e == ENCRYPTION_DEFAULT)
                return check_key(ctx, def);
        return error_setf(ctx->error, STORAGE_ERROR_UNSUPPORTED,
                          "Volume '%s' of pool '%s' cannot be made with the encryption %s: with luks (of "
                          "version 1) it can",
                          def->name, ctx->pool->name, encryption_format_to_string(e));
}
