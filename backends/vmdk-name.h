/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * qemu-img writes the name that it is called with into the descriptor of a VMDK, where other programs look
 * for the file's own name. Ours is made without one: this puts name there. A name that cannot be written
 * there is left out. 0 or negative errno.
 */
int vmdk_set_extent_name(int fd, const char *name);
