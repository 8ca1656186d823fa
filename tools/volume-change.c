/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/volume-change.h"

#include "tools/volume-call.h"

const Option volume_wipe_options[] = {
        {"algorithm", "ALGORITHM", OPTION_STRING, "algorithm",
         "zero (default), trim, random, nnsa and so on"},
        {"force", NULL, OPTION_FLAG, "force", "even if somebody has it open"},
        {0},
};

int volume_wipe(Context *c, const Args *a)
{
        return volume_change(
                c, a, &(VolumeChange){VOLUME_INTERFACE, "Wipe", "wipe", "wiped", volume_wipe_options});
}
