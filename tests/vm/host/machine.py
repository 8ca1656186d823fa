# SPDX-License-Identifier: LGPL-2.1-or-later
"""One run of the machine: QEMU, its disks and shares, its time limits, and what the guest reports."""

import json
import subprocess
import threading
import time
from pathlib import Path

from . import plan

SOURCE = plan.FOLDER.parent.parent
BOOT_LIMIT = 300
SLACK = 60
COPY_LIMIT = 120
# What the guest writes to ask for the loss of power: see guest/power.py.
POWER_OFF = "power-off.json"
MEMORY = 2048
CONSOLE_TAIL = 8000

# Emulated AVX is slower than the SSE that libraries use without it; SMAP and SMEP cost at each system call. With ERMS
# all that is copied or zeroed, like each new page, goes byte by byte.
CPU = "max,-avx,-avx2,-smap,-smep,-erms"

# A busy host once made the kernel think its processor's clock ten times as slow as it is: no trust in that one.
COMMAND_LINE = (
    "console=ttyS0", "quiet", "panic=-1", "TERM=dumb", "mitigations=off", "audit=0", "tsc=unstable", "no_timer_check",
    "systemd.unit=vm-tests.service", "systemd.show_status=auto", "systemd.firstboot=off",
    "systemd.machine_id=a3f1c25b6a0e4b6f9d1c7e5a2b8d4f60",
)


class Machine:
    """Tests and the machine for them. `work` is a folder of its own, where console and results stay."""

    # The run is over: those that still run do not go on.
    end_all = threading.Event()

    def __init__(self, image, install, tests, work):
        self.image = image
        self.install = install
        self.tests = tests
        self.work = work
        self.out = work / "out"
        self.root = image / "root.ext4"
        self.boot_seconds = None
        self.failure = None
        self._read = 0
        self._cut_at = None
        self._power_off = False

    def run(self, report, terminal=None):
        """Boots, and calls report(result) for each result as it comes in.

        With a terminal (rows, columns) the guest runs a shell on this one instead of the tests. The
        reason is in .failure if the machine did not come to its end.
        """
        self.prepare()
        for boot in range(1, self.boots + 1):
            self.plan(boot, terminal)
            self.run_once(report, terminal)
            if not self._power_off:
                break
            # For the guest to find: whose request it was.
            (self.out / POWER_OFF).rename(self.out / "power-was-cut.json")

    def run_once(self, report, terminal):
        """From QEMU's start to its end, or until the power is cut."""
        started = time.monotonic()
        stdin = None if terminal else subprocess.DEVNULL
        with open(self.work / "qemu.log", "ab") as log:
            qemu = subprocess.Popen(self.command(bool(terminal)), stdin=stdin, stderr=log,
                                    stdout=None if terminal else log)
        try:
            while qemu.poll() is None:
                time.sleep(0.02)
                self.follow(report, started)
                self.look_at_the_power()
                self.failure = None if terminal else self.late(time.monotonic() - started)
                if self.failure or self._power_off or self.end_all.is_set():
                    break
        finally:
            qemu.kill()
            qemu.wait()
        self.follow(report, started)
        if not self.failure and not self._power_off and not (self.out / "done").exists():
            self.failure = f"died (QEMU's exit status {qemu.returncode})"

    def late(self, seconds):
        """What took too long, if anything did, so many seconds after the start."""
        if self.boot_seconds is None:
            return f"did not boot within {BOOT_LIMIT} s" if seconds > BOOT_LIMIT else None
        limit = SLACK + sum(t.timeout for t in self.tests)
        return f"did not end within {limit} s" if seconds - self.boot_seconds > limit else None

    def prepare(self):
        """The disks, which live for all boots."""
        self.out.mkdir(parents=True)
        for number, size in enumerate(self.disks):
            with open(self.work / f"disk{number}", "wb") as disk:
                disk.truncate(int(size[:-1]) << {"M": 20, "G": 30}[size[-1]])
        if self.boots > 1:
            self.root = self.work / "root.ext4"
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.image / "root.ext4", self.root],
                           check=True, timeout=COPY_LIMIT)
            # What the image does without is what brings a file system through the loss of power.
            subprocess.run(["tune2fs", "-j", self.root], check=True, stdout=subprocess.DEVNULL, timeout=COPY_LIMIT)

    def plan(self, boot, terminal):
        """What the guest finds about its work, at each boot."""
        tests = [{"folder": t.folder, "file": t.path.name, "only": t.only, "timeout": t.timeout} for t in self.tests]
        (self.out / "plan.json").write_text(json.dumps({
            "tests": tests, "disks": len(self.disks), "terminal": terminal, "out": str(self.out),
            "boot": boot, "boots": self.boots}))
        (self.out / "started").unlink(missing_ok=True)
        self._cut_at = None
        self._power_off = False

    @property
    def disks(self):
        return [size for test in self.tests for size in test.disks]

    @property
    def boots(self):
        return max((test.boots for test in self.tests), default=1)

    @property
    def hotplug(self):
        return max((test.hotplug for test in self.tests), default=0)

    def command(self, interactive):
        console = "stdio,signal=off" if interactive else f"file,path={self.work / 'console.log'},append=on"
        args = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-M", "q35,sata=off,smm=off", "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", CPU,
            "-smp", "2", "-m", str(MEMORY),
            "-kernel", str(self.image / "kernel"), "-initrd", str(self.image / "initrd"),
            "-append", " ".join(COMMAND_LINE),
            "-chardev", f"{console},id=console", "-serial", "chardev:console",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
            *self.disk("root", self.root, "snapshot=" + ("on" if self.boots == 1 else "off")),
            *share("source", SOURCE, True), *share("install", self.install, True),
            *share("out", self.out, False),
        ]
        for number in range(len(self.disks)):
            args += self.disk(f"disk{number}", self.work / f"disk{number}")
        return args + (self.hotplug_args() if self.hotplug else [])

    @staticmethod
    def disk(name, path, *more):
        options = ",".join([f"if=none,id={name},format=raw,file={path},cache=unsafe,discard=unmap", *more])
        return ["-drive", options, "-device", f"virtio-blk-pci,drive={name},serial={name}"]

    def hotplug_args(self):
        """Slots to plug devices into, and QEMU's own monitor on a port of the guest."""
        socket = self.work / "qmp"
        args = ["-chardev", f"socket,id=monitor,path={socket},server=on,wait=off",
                "-mon", "chardev=monitor,mode=control",
                "-chardev", f"socket,id=port,path={socket}",
                "-device", "virtio-serial-pci",
                "-device", "virtserialport,chardev=port,name=qmp"]
        for number in range(self.hotplug):
            args += ["-device", f"pcie-root-port,id=slot{number},chassis={number + 1}"]
        return args

    def follow(self, report, started):
        """Reports the results that the guest has written since the last call."""
        if self.boot_seconds is None and (self.out / "started").exists():
            self.boot_seconds = time.monotonic() - started
        try:
            with open(self.out / "results.jsonl", "rb") as results:
                results.seek(self._read)
                data = results.read()
        except FileNotFoundError:
            return
        whole = data[:data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            report(json.loads(line))

    def look_at_the_power(self):
        """Says that the power is to be cut when the moment that the guest asked for has come."""
        request = self.out / POWER_OFF
        if self._cut_at is None and request.exists():
            self._cut_at = time.monotonic() + json.loads(request.read_text())["after"]
        self._power_off = self._cut_at is not None and time.monotonic() >= self._cut_at

    def console_tail(self):
        """The end of what the machine and QEMU itself had to say."""
        texts = []
        for name in ("qemu.log", "console.log", "out/journal.txt"):
            path = Path(self.work / name)
            if path.exists() and (text := path.read_text(errors="replace").strip()):
                texts.append(f"--- {name}\n{text[-CONSOLE_TAIL:]}")
        return "\n".join(texts)


def share(tag, path, readonly):
    options = f"local,id={tag},path={path},security_model=none,multidevs=remap"
    return ["-fsdev", options + (",readonly=on" if readonly else ""),
            "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
