/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who keeps a mounted file system busy. */

#include "backends/mount.h"

/*
 * Looks through /proc for processes with files or folders of it, and for what else holds it: file systems
 * mounted below, loop devices, swap files. For people: "process 123 (qemu-img), the mount on /srv/a/b"; *ret
 * is the caller's; NULL if nobody was found. 0 or -ENOMEM.
 */
int mount_holders(const MountPoint *m, char **ret);
