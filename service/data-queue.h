/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who may move data now. Only a few do at once, as more would only get in each other's way; the others wait.
 * One user never has all places, and those that wait get them by turns of their users, so that a hundred
 * copies of one user do not hold up the one of another. What is read from or written to a client, who may
 * take days for it, has places of its own.
 */

#include "service/manager.h"

/* So many workers move data at once, in all and for one user. */
#define MOVING_MAX 4U
#define MOVING_PER_USER_MAX 3U
/* The same for those that wait for clients: each is a process, and mostly idle. */
#define CLIENT_MOVING_MAX 32U
#define CLIENT_MOVING_PER_USER_MAX 8U

typedef struct DataUser DataUser;

typedef struct DataPlace DataPlace;
struct DataPlace {
        TAILQ_ENTRY(DataPlace) entry; /* in user's list, if waiting */
        DataUser *user;               /* NULL: neither waits nor moves data */
        bool waiting;
        bool client; /* waits for a client too; set by the caller, as start is */
        /* It is its turn. May end at once: data_place_leave(). */
        void (*start)(DataPlace *place);
};

/* Begins to wait; data_queue_run() starts it. 0 or -ENOMEM. */
int data_place_wait(Manager *m, DataPlace *place, uid_t uid);
/* Waits or moves data no more; nothing if it does not. data_queue_run() gives its place to the next. */
void data_place_leave(Manager *m, DataPlace *place);
/* Starts whoever can be started, and tells the bus layer when the first begins and the last has ended. */
void data_queue_run(Manager *m);
