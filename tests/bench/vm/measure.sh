#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What tests/bench/run-vm runs in the machine.
# disks: 4x512M
# hotplug: 1
# timeout: 840
exec /usr/bin/python3 "$(dirname "$0")/measure.py"
