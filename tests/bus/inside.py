# SPDX-License-Identifier: LGPL-2.1-or-later
"""First process of the tests' private namespaces: starts pytest, reaps whoever is left over, cleans up.

Daemons are killed on purpose in these tests, and their orphans are handed to the first process of the PID
namespace: without somebody who reaps them they would look alive for ever.
"""

import os
import shutil
import subprocess
import sys
import tempfile


def main():
    base = tempfile.mkdtemp(prefix="storaged-bus-")
    os.chmod(base, 0o755)
    os.mkdir(base + "/state")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=512m", "tmpfs", base + "/state"], check=True)
    child = os.fork()
    if child == 0:
        os.environ["STORAGED_TEST_BASE"] = base
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:]])
    status = None
    while status is None:
        pid, code = os.wait()
        if pid == child:
            status = os.waitstatus_to_exitcode(code)
    subprocess.run(["umount", "-l", base + "/state"], check=False)
    shutil.rmtree(base, ignore_errors=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
