# SPDX-License-Identifier: LGPL-2.1-or-later
import os
import signal
import subprocess

import pytest
from fuse_file import FuseFile
from worker_client import Data, Pool, Worker

TEST_SECONDS = 60


def _too_long(_number, _frame):
    raise TimeoutError(f"the test took more than {TEST_SECONDS} s")


@pytest.fixture(autouse=True)
def bounded():
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    return path


@pytest.fixture
def started():
    """Makes workers, and sees to it that they end well."""
    workers = []

    def make(kind, *args, **kwargs):
        worker = kind(*args, **kwargs)
        workers.append(worker)
        return worker

    yield make
    for worker in workers:
        worker.close()


@pytest.fixture
def new_pool(started, folder):
    return lambda path=folder, **kwargs: started(Pool, path, **kwargs)


@pytest.fixture
def pool(new_pool):
    return new_pool()


@pytest.fixture
def data(started):
    return started(Data)


@pytest.fixture
def store(started):
    return started(Worker, "store")


@pytest.fixture
def mounted(tmp_path):
    """Mounts small file systems: mounted("tmpfs", "size=4m"). Skips where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    points = []

    def mount(kind, options="defaults", source="none", point=None):
        if point is None:
            point = tmp_path / f"mnt{len(points)}"
            point.mkdir()
        r = subprocess.run(["mount", "-t", kind, "-o", options, source, point], capture_output=True, text=True)
        if r.returncode != 0:
            pytest.skip(f"cannot mount {kind}: {r.stderr}")
        points.append(point)
        return point

    yield mount
    for point in reversed(points):
        subprocess.run(["umount", "-l", point], check=False)


@pytest.fixture
def small_ext4(mounted, tmp_path):
    """An ext4 of 24 MiB."""
    image = tmp_path / "small.ext4"
    with open(image, "wb") as f:
        f.truncate(24 << 20)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", image], check=True)
    return mounted("ext4", "loop", image)


@pytest.fixture
def loop_device():
    """Makes block devices of files: loop_device(file), its node."""
    nodes = []

    def make(image):
        r = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, text=True)
        if r.returncode != 0:
            pytest.skip(f"no loop device: {r.stderr}")
        nodes.append(r.stdout.strip())
        return nodes[-1]

    yield make
    for node in nodes:
        subprocess.run(["losetup", "-d", node], check=True)


@pytest.fixture
def fuse(tmp_path):
    """Makes files of FUSE file systems: fuse(size, …), as FuseFile."""
    made = []

    def make(size, **options):
        folder = tmp_path / f"fuse{len(made)}"
        folder.mkdir()
        try:
            made.append(FuseFile(folder, size, **options))
        except OSError as e:
            pytest.skip(f"no FUSE: {e}")
        return made[-1]

    yield make
    for file in made:
        file.close()
