/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Partitions that were made for the contents of a clone that never became whole: other than a file or a
 * logical volume, which bear a sign of that, they look like any other. Each has an intent on disk, until its
 * pool's worker has removed it: that is asked to before it looks at the pool's contents. Until then, and
 * while a job is filling one, they are not shown.
 */

#include "service/pool.h"

typedef struct Unfinished Unfinished;

/* So many are remembered; a few each time that a user's clone is cut off and cannot be removed. */
#define UNFINISHED_MAX 1024U

/* Whether volumes of such pools, or of the pool, are of that kind. */
bool unfinished_is_needed_for(PoolType type);
bool unfinished_needed(const Pool *pool);
/*
 * intent: the name of its file, which is removed with it. The pool need not be there: it may come back with
 * that UUID. 0, -ENOMEM, or -EDQUOT: there are too many.
 */
int unfinished_add(Manager *m, const char *pool_uuid, const char *volume, const char *token,
                   const char *intent);
/* The volume of that name is not whole, by all that is known. */
bool unfinished_is(const Pool *pool, const char *volume);
/* The next of the pool that its worker has not been asked about since unfinished_asked_all(); NULL: none. */
Unfinished *unfinished_next(const Pool *pool);
uint64_t unfinished_id(const Unfinished *u);
const char *unfinished_token(const Unfinished *u);
void unfinished_set_asked(Unfinished *u);
void unfinished_asked_all(const Pool *pool);
Unfinished *unfinished_find(const Manager *m, uint64_t id);
/* Nothing is left of it. */
void unfinished_remove(Manager *m, Unfinished *u);
void unfinished_free_all(Manager *m);
