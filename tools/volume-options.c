/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/volume-options.h"

const Option volume_description_options[] = {
        {"format", "FORMAT", OPTION_STRING, "format", "raw, qcow2 and so on"},
        {"allocation", "SIZE", OPTION_SIZE, "allocation", "how much to allocate at once"},
        {"preallocation", "MODE", OPTION_STRING, "preallocation", "off, metadata, falloc or full"},
        {"compat", "VERSION", OPTION_STRING, "compat", "qcow2: 0.10 or 1.1"},
        {"cluster-size", "SIZE", OPTION_SIZE, "cluster-size", "qcow2: size of a cluster"},
        {"lazy-refcounts", NULL, OPTION_FLAG, "lazy-refcounts", "qcow2: write reference counts late"},
        {"extended-l2", NULL, OPTION_FLAG, "extended-l2", "qcow2: allocate parts of clusters"},
        {"nocow", NULL, OPTION_FLAG, "nocow", "no copy on write by the filesystem"},
        {"encryption", "FORMAT", OPTION_STRING, "encryption", "luks and so on; needs --secret"},
        {"secret", "USAGE|UUID", OPTION_STRING, "secret", "the stored secret to encrypt with"},
        {"partition-type", "TYPE", OPTION_STRING, "partition-type", "in disk pools"},
        {"mode", "MODE", OPTION_MODE, "mode", "permissions, octal"},
        {"owner", "USER", OPTION_USER, "owner", "owner"},
        {"group", "GROUP", OPTION_GROUP, "group", "group"},
        {0},
};

const Option volume_xml_options[] = {
        {"preallocation", "MODE", OPTION_STRING, "preallocation", NULL},
        {0},
};
