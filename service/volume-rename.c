/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-rename.h"

#include "service/incomplete.h"
#include "service/volume-secret.h"

/* An inode is given out again, but not with the same time of birth; a network's file system has none, and then nothing
 * is followed. */
static const Volume *find_same_file(const Volume *v)
{
        const Volume *other;

        if (v->row.type != VOLUME_FILE || v->row.btime == 0)
                return NULL;
        TAILQ_FOREACH (other, &v->pool->dirty, dirty) {
                if (other != v && other->row.type == VOLUME_FILE && other->row.btime == v->row.btime &&
                    other->row.ino == v->row.ino && other->row.dev == v->row.dev)
                        return other;
        }
        return NULL;
}

void volume_follow_rename(Volume *v)
{
        Manager *m = v->pool->manager;
        const char *uuid = v->pool->def->uuid;
        const Volume *now;

        if (!incomplete_knows(v) && !volume_secret_name(v))
                return;
        now = find_same_file(v);
        if (!now)
                return;
        incomplete_rename(m, uuid, v->row.name, now->row.name);
        volume_secret_rename(m, uuid, v->row.name, now->row.name);
}
