/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "service/volume-grow.h"

#include "service/volume-in-place.h"

typedef struct Grow {
        uint64_t before, capacity;
} Grow;

static int fill_grow(Job *job, sd_bus_message *m, void *argument)
{
        const Grow *g = argument;

        return sd_bus_message_append(m, "tt", g->capacity, g->before);
}

/* The job itself has the volume open, and what is cut off was never anybody's: else it has another size. */
static int fill_undo(Operation *op, sd_bus_message *m)
{
        const Grow *g = volume_in_place_argument(op->job);

        return sd_bus_message_append(m, "sta{sv}", op->job->volume_name, g->before, 3, "shrink", "b", 1,
                                     "force", "b", 1, "from", "t", g->capacity);
}

int volume_grow(Volume *v, uint64_t capacity, bool force, uid_t uid, Job **ret, sd_bus_error *error)
{
        /* Contents are whole at every moment: no bytes of them are written. */
        InPlace what = {
                .operation = "resize-volume",
                .said = "changed",
                .verb = "Grow",
                .write = true,
                .force = force,
                .fill = fill_grow,
                .fill_undo = fill_undo,
                .free_argument = free,
        };
        Grow *g = malloc(sizeof *g);

        if (!g)
                return -ENOMEM;
        *g = (Grow){.before = v->row.capacity, .capacity = capacity};
        what.argument = g;
        return volume_in_place(v, &what, NULL, uid, ret, error);
}
