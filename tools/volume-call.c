/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/volume-call.h"

#include "tools/follow.h"
#include "tools/report.h"

int check_volume_operands(const Args *a, size_t more, const char *then)
{
        size_t wanted = volume_operands(a) + more;

        if (a->n_operands == wanted)
                return STATUS_OK;
        if (a->n_operands < wanted)
                return usage_error(
                        "give a pool and the name of a volume in it, or the volume's absolute path%s%s",
                        then ? ", and then " : "", strempty(then));
        return usage_error("one operand too many: '%s'", a->operands[wanted]);
}

int volume_change(Context *c, const Args *a, const VolumeChange *what)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL, *label = NULL;
        size_t used;
        int r;

        r = check_volume_operands(a, 0, NULL);
        if (r != STATUS_OK)
                return r;
        if (asprintf(&label, "%s %s", what->verb, a->operands[volume_operands(a) - 1]) < 0)
                return report(c, NULL, -ENOMEM);
        r = find_volume_operands(c, a, &path, &used, &error);
        if (r >= 0)
                r = call_new(c, path, what->interface, what->member, &error, &m);
        if (r >= 0)
                r = call_options(c, m, a, what->options, true);
        if (r >= 0)
                r = job_call(c, m, label, &error);
        if (r < 0)
                return report(c, &error, r);
        confirm(c, "Volume %s %s.", a->operands[used - 1], what->done);
        return STATUS_OK;
}
