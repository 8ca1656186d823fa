/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/data-queue.h"

struct DataUser {
        TAILQ_ENTRY(DataUser)
        entry; /* in manager->data_queue.users: whose turn was longest ago comes first */
        uid_t uid;
        TAILQ_HEAD(, DataPlace) waiting;
        unsigned n_moving;
};

static DataUser *get_user(Manager *m, uid_t uid)
{
        DataUser *user;

        TAILQ_FOREACH (user, &m->data_queue.users, entry) {
                if (user->uid == uid)
                        return user;
        }
        user = calloc(1, sizeof *user);
        if (!user)
                return NULL;
        user->uid = uid;
        TAILQ_INIT(&user->waiting);
        TAILQ_INSERT_TAIL(&m->data_queue.users, user, entry);
        return user;
}

int data_place_wait(Manager *m, DataPlace *place, uid_t uid)
{
        DataUser *user = get_user(m, uid);

        if (!user)
                return -ENOMEM;
        place->user = user;
        place->waiting = true;
        TAILQ_INSERT_TAIL(&user->waiting, place, entry);
        return 0;
}

void data_place_leave(Manager *m, DataPlace *place)
{
        DataUser *user = place->user;

        if (!user)
                return;
        if (place->waiting) {
                TAILQ_REMOVE(&user->waiting, place, entry);
        } else {
                user->n_moving--;
                m->data_queue.n_moving--;
        }
        place->user = NULL;
        place->waiting = false;
        if (user->n_moving > 0 || !TAILQ_EMPTY(&user->waiting))
                return;
        TAILQ_REMOVE(&m->data_queue.users, user, entry);
        free(user);
}

static bool start_next(Manager *m)
{
        DataPlace *place;
        DataUser *user;

        TAILQ_FOREACH (user, &m->data_queue.users, entry) {
                if (user->n_moving < MOVING_PER_USER_MAX && !TAILQ_EMPTY(&user->waiting))
                        break;
        }
        if (!user)
                return false;
        place = TAILQ_FIRST(&user->waiting);
        TAILQ_REMOVE(&user->waiting, place, entry);
        place->waiting = false;
        user->n_moving++;
        m->data_queue.n_moving++;
        TAILQ_REMOVE(&m->data_queue.users, user, entry);
        TAILQ_INSERT_TAIL(&m->data_queue.users, user, entry);
        place->start(place);
        return true;
}

void data_queue_run(Manager *m)
{
        DataQueue *q = &m->data_queue;

        /* One that cannot be started ends at once, and comes here again. */
        if (q->running)
                return;
        q->running = true;
        while (q->n_moving < MOVING_MAX && start_next(m))
                ;
        q->running = false;
        if (q->told_moving == (q->n_moving > 0))
                return;
        q->told_moving = q->n_moving > 0;
        m->hooks->moving(m, q->told_moving);
}
