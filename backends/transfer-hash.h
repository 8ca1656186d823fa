/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SHA-256 of what goes through, by a thread of its own while the same bytes are written elsewhere. */

#include "common/util.h"

typedef struct TransferHash TransferHash;

/* 0 or negative errno. */
int transfer_hash_new(TransferHash **ret);
TransferHash *transfer_hash_free(TransferHash *h);
DEFINE_CLEANUP(TransferHash *, transfer_hash_free)
/* Begins with these bytes, which must stay as they are until the next call returns. */
void transfer_hash_add(TransferHash *h, const void *data, size_t n);
/* Until all bytes so far are counted, and may change. */
void transfer_hash_wait(TransferHash *h);
/* The sum of all as 64 hexadecimal digits. */
void transfer_hash_end(TransferHash *h, char ret[static 65]);
