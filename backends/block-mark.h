/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A partition that is being filled looks like any other. So that it can be told from one that is whole, it
 * begins with a mark until the end: that is there before the partition is in the table, and what belongs in
 * its place is written last.
 */

#include "common/util.h"

/* So many bytes at the beginning are written after all others have reached the disk. */
#define BLOCK_MARK_SIZE 4096U
/* Where it is in the beginning of a LUKS container, whose own header leaves that unused. */
#define BLOCK_MARK_INNER (BLOCK_MARK_SIZE - 512U)
/* The longest token, and what it may consist of: hexadecimal digits. */
#define BLOCK_MARK_TOKEN_MAX 64U

bool block_mark_token_is_valid(const char *token);
/* Writes it at that offset of a disk. 0 or negative errno. */
int block_mark_write(int fd, uint64_t at, const char *token);
/* 1: what begins at that offset of the device has the mark of that token (NULL: of any), in either place; 0:
 * it has not. Or negative errno. */
int block_mark_find(int fd, uint64_t at, const char *token);
/*
 * Writes the first n bytes of the device, durably, over its mark. If that fails the mark is put back: nobody
 * knows what of it has reached the disk. 0 or negative errno.
 */
int block_mark_replace(int fd, const void *data, size_t n);
/* Durably puts the device's mark into the inner place, too, so that bytes before that can be written. 0 or
 * negative errno. */
int block_mark_move_in(int fd);
/* Durably takes the mark away from there, if there is one. 0 or negative errno. */
int block_mark_clear_inner(int fd);
