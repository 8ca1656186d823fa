# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's kernel, initrd and root: built once from ../image, and kept in a cache by a hash of it."""

import contextlib
import fcntl
import hashlib
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = Path(__file__).resolve().parent.parent / "image"
SUITE = "bookworm"
ROOT_SIZE = "2G"
# Bytes for each inode: tests make a hundred thousand small files.
INODE_RATIO = "8192"
BUILD_LIMIT = 1200
APPLETS = ("chroot", "insmod", "mkdir", "mount", "sh", "switch_root", "umount", "usleep")
LEFT_OUT = ("doc", "info", "locale", "man")

XZ_MAGIC = b"\xfd7zXZ\x00"
ELF_MAGIC = b"\x7fELF"


class ImageError(Exception):
    """The image could not be built; the message is for people."""


def cache_dir():
    if path := os.environ.get("STORAGED_VM_CACHE"):
        return Path(path)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "storaged-vm"


def recipe_key():
    """A hash of everything that decides what the image holds: the recipe's files and this one."""
    files = [p for p in RECIPE.rglob("*") if p.is_file()] + [Path(__file__).resolve()]
    digest = hashlib.sha256()
    for path in sorted(files):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(RECIPE.parent)} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def lines_of(path):
    """The lines of a list file, without comments and empty ones."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@contextlib.contextmanager
def image():
    """Gives the image's directory (files kernel, initrd, root.ext4), built if it is not cached.

    While the context lasts nobody prunes it.
    """
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = cache / recipe_key()
        if not path.is_dir():
            build_into(cache, path)
        os.utime(path)
        in_use = open(path / "in-use", "w")
        fcntl.flock(in_use, fcntl.LOCK_SH)
        prune(cache, path)
    with in_use:
        yield path


def prune(cache, current):
    """Removes what killed builds left behind, and images of other recipes that nobody uses.

    The one used last stays: who goes back and forth between two branches need not build each time.
    """
    others = [path for path in cache.iterdir() if path != current and path.is_dir()]
    unfinished = [path for path in others if path.name.startswith("new-")]
    images = sorted(set(others) - set(unfinished), key=lambda path: path.stat().st_mtime)
    for path in unfinished + images[:-1]:
        with open(path / "in-use", "w") as in_use:
            try:
                fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(path)


def build_into(cache, path):
    print(f"building the machine's image in {path} (once, about a minute)", file=sys.stderr, flush=True)
    started = time.monotonic()
    new = Path(tempfile.mkdtemp(prefix="new-", dir=cache))
    try:
        new.chmod(0o755)
        with open(new / "log", "wb") as log:
            fill(new, log)
        # The directory under its final name is whole, at any moment.
        new.rename(path)
    except (OSError, subprocess.SubprocessError) as error:
        tail = (new / "log").read_text(errors="replace")[-4000:]
        raise ImageError(f"cannot build the image: {error}\n{tail}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    print(f"built in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def fill(new, log):
    root = make_root(new, log)
    make_kernel(root, new)
    make_initrd(root, new, log)
    run(log, "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0",
        "-i", INODE_RATIO, "-d", root, new / "root.ext4", ROOT_SIZE)
    shutil.rmtree(root)


def run(log, *command, **kwargs):
    """Runs a command with its output in the log; at the time limit all that it started dies."""
    with subprocess.Popen([str(c) for c in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                          start_new_session=True, **kwargs) as process:
        try:
            process.wait(timeout=BUILD_LIMIT)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command[0])


def make_root(new, log):
    root = new / "root"
    # In a mount namespace of its own: whatever happens, no /proc or /dev stays mounted below.
    run(log, "unshare", "--mount", "--propagation", "private",
        "mmdebstrap", "--mode=root", "--variant=apt", "--skip=essential/unlink", "--format=directory",
        "--include=" + ",".join(lines_of(RECIPE / "packages.txt")),
        "--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Languages "none"',
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT),
        f"--customize-hook={RECIPE / 'customize'}",
        SUITE, root)
    return root


def make_kernel(root, new):
    """Unpacks the kernel: QEMU enters an ELF image directly, seconds before a compressed one is ready."""
    [packed] = root.glob("boot/vmlinuz-*")
    data = packed.read_bytes()
    start = data.find(XZ_MAGIC)
    while start >= 0:
        with contextlib.suppress(lzma.LZMAError):
            kernel = lzma.LZMADecompressor().decompress(data[start:])
            if kernel.startswith(ELF_MAGIC):
                (new / "kernel").write_bytes(kernel)
                shutil.rmtree(root / "boot")
                return
        start = data.find(XZ_MAGIC, start + 1)
    raise OSError(f"no kernel packed with xz in {packed.name}")


def make_initrd(root, new, log):
    tree = new / "initrd-tree"
    for folder in ("bin", "dev", "modules", "root"):
        (tree / folder).mkdir(parents=True)
    shutil.copy("/bin/busybox", tree / "bin/busybox")
    for applet in APPLETS:
        (tree / "bin" / applet).symlink_to("busybox")
    shutil.copy(RECIPE / "init", tree / "init")
    modules = lines_of(new / "initrd-modules")
    for module in modules:
        shutil.copy(root / module.lstrip("/"), tree / "modules")
    (tree / "modules/order").write_text("".join(Path(m).name + "\n" for m in modules))
    names = "\0".join(str(p.relative_to(tree)) for p in sorted(tree.rglob("*")))
    with open(new / "initrd", "wb") as out:
        subprocess.run(["cpio", "--quiet", "-0", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, check=True,
                       input=names.encode(), stdout=out, stderr=log, timeout=BUILD_LIMIT)
    shutil.rmtree(tree)
