# SPDX-License-Identifier: LGPL-2.1-or-later
"""Somebody who looks for a passphrase where everybody can look."""

import os
import threading
import time


class Watcher(threading.Thread):
    """Reads what everybody can see of all processes, over and over, from its beginning to its end as a context."""

    def __init__(self, passphrase):
        super().__init__(daemon=True)
        self.wanted = (passphrase, passphrase.hex().encode())
        self.found, self.tools, self.ended = [], set(), False

    def look(self, entry, file):
        try:
            with open(f"/proc/{entry}/{file}", "rb") as f:
                content = f.read()
        except OSError:
            return
        if file == "cmdline" and content.startswith(b"qemu-img\0"):
            self.tools.add(content.split(b"\0")[1].decode())
        if any(wanted in content for wanted in self.wanted):
            self.found.append((entry, file, content))

    def run(self):
        while not self.ended:
            for entry in os.listdir("/proc"):
                for file in ("cmdline", "environ") if entry.isdigit() else ():
                    self.look(entry, file)
            time.sleep(0.005)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_args):
        self.ended = True
        self.join(60)
