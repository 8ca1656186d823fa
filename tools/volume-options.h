/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The options that describe a volume that is made. */

#include "tools/options.h"

extern const Option volume_description_options[];
/* What the XML of a volume does not say. */
extern const Option volume_xml_options[];
