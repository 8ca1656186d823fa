/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/data-queue.h"

struct DataUser {
        TAILQ_ENTRY(DataUser)
        entry; /* in manager->data_queue.users: whose turn was longest ago comes first */
        uid_t uid;
        TAILQ_HEAD(, DataPlace) waiting;
        unsigned n_moving;
};

static DataQueue *queue_of(Manager *m, const DataPlace *place)
{
        return place->client ? &m->client_queue : &m->data_queue;
}

static DataUser *get_user(DataQueue *q, uid_t uid)
{
        DataUser *user;

        TAILQ_FOREACH (user, &q->users, entry) {
                if (user->uid == uid)
                        return user;
        }
        user = calloc(1, sizeof *user);
        if (!user)
                return NULL;
        user->uid = uid;
        TAILQ_INIT(&user->waiting);
        TAILQ_INSERT_TAIL(&q->users, user, entry);
        return user;
}

int data_place_wait(Manager *m, DataPlace *place, uid_t uid)
{
        DataUser *user = get_user(queue_of(m, place), uid);

        if (!user)
                return -ENOMEM;
        place->user = user;
        place->waiting = true;
        TAILQ_INSERT_TAIL(&user->waiting, place, entry);
        return 0;
}

void data_place_leave(Manager *m, DataPlace *place)
{
        DataQueue *q = queue_of(m, place);
        DataUser *user = place->user;

        if (!user)
                return;
        if (place->waiting) {
                TAILQ_REMOVE(&user->waiting, place, entry);
        } else {
                user->n_moving--;
                q->n_moving--;
        }
        place->user = NULL;
        place->waiting = false;
        if (user->n_moving > 0 || !TAILQ_EMPTY(&user->waiting))
                return;
        TAILQ_REMOVE(&q->users, user, entry);
        free(user);
}

static bool start_next(DataQueue *q, unsigned max_per_user)
{
        DataPlace *place;
        DataUser *user;

        TAILQ_FOREACH (user, &q->users, entry) {
                if (user->n_moving < max_per_user && !TAILQ_EMPTY(&user->waiting))
                        break;
        }
        if (!user)
                return false;
        place = TAILQ_FIRST(&user->waiting);
        TAILQ_REMOVE(&user->waiting, place, entry);
        place->waiting = false;
        user->n_moving++;
        q->n_moving++;
        TAILQ_REMOVE(&q->users, user, entry);
        TAILQ_INSERT_TAIL(&q->users, user, entry);
        place->start(place);
        return true;
}

static void run(DataQueue *q, unsigned max, unsigned max_per_user)
{
        /* One that cannot be started ends at once, and comes here again. */
        if (q->running)
                return;
        q->running = true;
        while (q->n_moving < max && start_next(q, max_per_user))
                ;
        q->running = false;
}

void data_queue_run(Manager *m)
{
        bool moving;

        run(&m->data_queue, MOVING_MAX, MOVING_PER_USER_MAX);
        run(&m->client_queue, CLIENT_MOVING_MAX, CLIENT_MOVING_PER_USER_MAX);
        moving = m->data_queue.n_moving + m->client_queue.n_moving > 0;
        if (m->data_queue.running || m->client_queue.running || m->told_moving == moving)
                return;
        m->told_moving = moving;
        m->hooks->moving(m, moving);
}
