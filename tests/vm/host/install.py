# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is laid over the guest's root."""

import subprocess

LIMIT = 120


def install_tree(work, build, root=None):
    """The tree `root`, or one that is made below `work`: of a meson build directory, or empty without one."""
    if root:
        return root.resolve(strict=True)
    tree = work / "install"
    tree.mkdir(mode=0o755)
    if build:
        subprocess.run(["meson", "install", "-C", str(build), "--no-rebuild", "--quiet", "--destdir", str(tree)],
                       check=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    return tree
