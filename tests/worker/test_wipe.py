# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each algorithm writes, in which order, as the file itself sees it."""

import os

import pytest
from worker_client import pool_xml

RANDOM, READ = "random", "read back"
SIZE = 2 * 4096 + 512

# scrub(1) 2.6.1, "SCRUB METHODS"; of gutmann, what that program tells as it goes.
METHODS = {
    "random": [RANDOM],
    "nnsa": [RANDOM] * 2 + ["00", READ],
    "dod": [RANDOM, "00", "ff", READ],
    "bsi": "ff fe fd fb f7 ef df bf 7f".split(),
    "gutmann": [RANDOM] * 4 + ("55 aa 924924 492492 249249 00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff 924924 492492 "
                               "249249 6db6db b6db6d db6db6").split() + [RANDOM] * 4,
    "schneier": ["00", "ff"] + [RANDOM] * 5,
    "pfitzner7": [RANDOM] * 7,
    "pfitzner33": [RANDOM] * 33,
}


@pytest.fixture
def watched(fuse, tmp_path):
    """A file, and what is done to it."""
    fd = os.open(fuse(SIZE, log=tmp_path / "log").path, os.O_RDWR)
    yield fd, tmp_path / "log"
    os.close(fd)


def pattern(written):
    """What it repeats from its beginning to its end, in hex."""
    for length in (1, 3):
        if written == (written[:length] * len(written))[:len(written)]:
            return written[:length].hex()
    assert len(set(written)) > 200, "neither a pattern nor random"
    return RANDOM


def passes(log):
    """Each goes over all bytes once, in order, and has reached the storage before the next one begins."""
    found, written, synced, at = [], b"", True, 0
    for line in log.read_text().splitlines():
        word, where, what = line.split()
        if word == "fsync":
            assert at in (0, SIZE)
            synced = True
            continue
        if word == "read" and not found:
            continue
        at = 0 if at == SIZE else at
        assert int(where) == at, line
        if word == "write":
            assert synced or at > 0
            written, synced = written + bytes.fromhex(what), False
            at = len(written)
        else:
            assert synced
            at += min(int(what), SIZE - at)
        if at == SIZE:
            found.append(written if word == "write" else READ)
            written = b""
    assert at == SIZE and synced
    random = [w for w in found if w != READ and pattern(w) == RANDOM]
    assert len(set(random)) == len(random), "the same again is not random"
    return [w if w == READ else pattern(w) for w in found]


@pytest.mark.parametrize("name", METHODS)
def test_passes(data, watched, name):
    fd, log = watched
    data.call("Wipe", "(sshs)", pool_xml("/images"), "v", 0, name, fds=[fd])
    assert passes(log) == METHODS[name]
