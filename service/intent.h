/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is on disk of a data job under way, so that the next daemon can tell what was cut off, and what of it
 * is left.
 */

#include <stdio.h>

#include "service/incomplete.h"

#define INTENT_TOKEN_SIZE 320U

/* How far the job was. */
typedef enum IntentStage {
        INTENT_MAKES,   /* something new, which is whole or goes */
        INTENT_BEGINS,  /* to change a volume in place: nothing is written yet */
        INTENT_WRITES,  /* it may have been */
        INTENT_IS_TOLD, /* it was cut off and that was told; what it had made is still to be removed */
        _INTENT_STAGE_MAX,
} IntentStage;

/* Strings are "" where there is nothing. */
typedef struct Intent {
        char operation[64], pool_uuid[37], pool_type[16], volume[DEF_NAME_MAX + 1];
        char token[INTENT_TOKEN_SIZE]; /* by which what is made can be discarded */
        char from[INCOMPLETE_SOURCE_SIZE];
        char secret[37]; /* UUID of what that is encrypted with */
        uid_t uid;
        uint64_t since; /* µs UTC: the beginning of the job */
        uint64_t start, end;
        IntentStage stage;
} Intent;

int intent_write(const Manager *m, StoreChange **list, const char *name, const Intent *i);
/* 0, or -EINVAL if it does not say what it is about. */
int intent_read(FILE *f, Intent *ret);
/* What it does in place; the strings are the intent's. */
InPlaceChange intent_change(const Intent *i);
/* A name for the intent of the job of that number, which no other will ever have; owned by the caller. NULL:
 * out of memory. */
char *intent_name(uint64_t job);
