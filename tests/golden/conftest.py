# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the golden tests share: the driver, and libvirt's schemas."""

import os
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
SCHEMAS = pathlib.Path("/usr/share/libvirt/schemas")


class Codec:
    """The driver, which proves by itself that nothing is lost on the way, and ends if something is."""

    def __init__(self, driver):
        self.process = subprocess.Popen([driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, what, pool_type, path):
        """The XML that it prints and None, or None and the error."""
        self.process.stdin.write(f"{what}\t{pool_type}\t{path}\n".encode())
        self.process.stdin.flush()
        kind, _, length = self.process.stdout.readline().decode().partition(" ")
        assert kind, f"{path}: the driver ended with status {self.process.wait(timeout=10)}"
        text = self.process.stdout.read(int(length)).decode()
        return (text, None) if kind == "ok" else (None, text)

    def finish(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=10) == 0


@pytest.fixture(scope="module")
def codec():
    driver = Codec(os.environ["CODEC_DRIVER"])
    yield driver
    driver.finish()


def schema_errors(schema, paths):
    """What xmllint says against files that do not validate, in one run for all of them."""
    done = subprocess.run(
        ["xmllint", "--nonet", "--noout", "--relaxng", SCHEMAS / schema, *paths],
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 0:
        return ""
    return "\n".join(
        line for line in done.stderr.decode().splitlines() if not line.endswith(" validates")
    )
