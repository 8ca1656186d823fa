/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sizes as libvirt and virsh read and print them. */

#include "common/util.h"

#define SIZE_BUFSIZE 32

/*
 * value × unit in bytes, as libvirt's XML has it: unit is case-insensitive; NULL, "", "b", "byte", "bytes" =
 * 1; "X" and "XiB" = 1024ⁿ, "XB" = 1000ⁿ for X of K M G T P E. -EINVAL: not a number or unknown unit;
 * -ERANGE: negative or more than INT64_MAX.
 */
int size_parse_unit(const char *value, const char *unit, uint64_t *ret);

/* "10G", "512", "1.5 GiB", "20 MB": number and unit in one string, as virsh takes it on the command line. */
int size_parse(const char *s, uint64_t *ret);

/* "10.00 GiB", as virsh prints it: two decimals, binary unit, "B" below 1 KiB. Returns buf. */
const char *size_format(char buf[static SIZE_BUFSIZE], uint64_t bytes);
