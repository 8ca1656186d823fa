/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/pool-options.h"

const Option pool_definition_options[] = {
        {"target", "PATH", OPTION_STRING, "target-path", "where the volumes' paths begin"},
        {"source-host", "HOST[:PORT]", OPTION_HOSTS, "source-hosts", "server; may be repeated"},
        {"source-dev", "DEVICE", OPTION_STRINGS, "source-devices", "device; may be repeated"},
        {"source-path", "PATH", OPTION_STRING, "source-dir", "directory or export of the source"},
        {"source-name", "NAME", OPTION_STRING, "source-name", "name of the source, as a volume group's"},
        {"source-format", "FORMAT", OPTION_STRING, "source-format", "format of the source"},
        {"source-protocol-ver", "VERSION", OPTION_STRING, "protocol-version", "NFS version"},
        {"source-initiator", "IQN", OPTION_STRING, "initiator", "iSCSI initiator"},
        {"auth-type", "chap|ceph", OPTION_STRING, "auth-type", "how to log in at the source"},
        {"auth-username", "NAME", OPTION_STRING, "auth-username", "whom to log in as"},
        {"secret", "USAGE|UUID", OPTION_STRING, "secret", "the stored secret to log in with"},
        {"adapter", "KEY=VALUE", OPTION_PAIRS, "adapter", "SCSI adapter; may be repeated"},
        {"mount-option", "OPTION", OPTION_STRINGS, "mount-options", "for mount; may be repeated"},
        {"mode", "MODE", OPTION_MODE, "mode", "permissions of the target, octal"},
        {"owner", "USER", OPTION_USER, "owner", "owner of the target"},
        {"group", "GROUP", OPTION_GROUP, "group", "group of the target"},
        {"label", "LABEL", OPTION_STRING, "label", "security label of the target"},
        {"cow", "yes|no", OPTION_YES_NO, "cow", "copy on write, where the filesystem has it"},
        {"volume-allocation", "default|capacity", OPTION_STRING, "volume-allocation",
         "what counts as a volume's allocation"},
        {"raid-level", "LEVEL", OPTION_STRING, "raid/level", "level of the array beneath, as raid1"},
        {"raid-dev", "DEVICE", OPTION_STRINGS, "raid/devices", "device of the array; may be repeated"},
        {"raid-spares", "NUMBER", OPTION_NUMBER, "raid/spares", "how many of the last ones are spares"},
        {"raid-chunk-size", "SIZE", OPTION_SIZE, "raid/chunk-size", "what goes to one device in a row"},
        {0},
};

#define DEFINE_OPTIONS                                                                                  \
        {"type", "TYPE", OPTION_STRING, NULL, "type of the pool: dir, fs, netfs, logical, disk, ..."},  \
                {"uuid", "UUID", OPTION_STRING, "uuid", "the UUID that the pool shall have"},           \
                {"build", NULL, OPTION_FLAG, "build", "make the storage too"},                          \
                {"overwrite", NULL, OPTION_FLAG, "overwrite", "with --build: even over what is there"}, \
        {                                                                                               \
                "dry-run", NULL, OPTION_FLAG, "dry-run", "check everything and change nothing"          \
        }

const Option pool_define_options[] = {
        DEFINE_OPTIONS,
        {"start", NULL, OPTION_FLAG, "start", "start it too"},
        {"autostart", NULL, OPTION_FLAG, "autostart", "let it start once a boot by itself"},
        {"transient", NULL, OPTION_FLAG, "transient", "keep it only until it is stopped"},
        {0},
};

const Option pool_create_options[] = {
        DEFINE_OPTIONS,
        {0},
};
