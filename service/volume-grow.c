/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-grow.h"

#include "service/volume-in-place.h"
#include "service/volume-secret.h"

typedef struct Grow {
        uint64_t before, capacity;
        char *secret; /* its file; NULL: none is needed */
} Grow;

static void grow_free(void *p)
{
        Grow *g = p;

        free(g->secret);
        free(g);
}

static int fill_grow(Job *job, sd_bus_message *m, void *argument)
{
        const Grow *g = argument;
        int r;

        r = sd_bus_message_append(m, "tt", g->capacity, g->before);
        return r < 0 ? r : volume_secret_append(m, g->secret);
}

/* The job itself has the volume open, and what is cut off was never anybody's: else it has another size. */
static int fill_undo(Operation *op, sd_bus_message *m)
{
        const Grow *g = volume_in_place_argument(op->job);
        int r;

        r = sd_bus_message_append(m, "st", op->job->volume_name, g->before);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}", "shrink", "b", 1, "force", "b", 1, "from", "t",
                                          g->capacity);
        if (r >= 0 && g->secret)
                r = sd_bus_message_append(m, "{sv}", "secret", "s", g->secret);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int volume_grow(Volume *v, uint64_t capacity, bool force, char *secret, uid_t uid, Job **ret,
                sd_bus_error *error)
{
        InPlace what = {
                .operation = "resize-volume",
                .said = "changed",
                .verb = "Grow",
                .write = true,
                .keeps_contents = true,
                .force = force,
                .fill = fill_grow,
                .fill_undo = fill_undo,
                .free_argument = grow_free,
        };
        Grow *g = malloc(sizeof *g);

        if (!g) {
                free(secret);
                return -ENOMEM;
        }
        *g = (Grow){.before = v->row.capacity, .capacity = capacity, .secret = secret};
        what.argument = g;
        return volume_in_place(v, &what, NULL, uid, ret, error);
}
