# SPDX-License-Identifier: LGPL-2.1-or-later
"""The side of the test machine that runs on the host: see ../README.md."""
