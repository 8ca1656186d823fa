/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What guests need to know of a volume: 'volume disk-xml' and 'volume blockdev'. */

#include "tools/storagectl.h"

extern const Option volume_disk_xml_options[];
int volume_disk_xml(Context *c, const Args *a);

extern const Option volume_blockdev_options[];
int volume_blockdev(Context *c, const Args *a);
