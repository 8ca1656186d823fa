# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 2x512M
# hotplug: 2
# timeout: 1800
"""Pools on volume groups while others work on them too: what changes, goes missing or is left half made."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from client import MIB, error_name, iterate_until
from gi.repository import GLib

TAG = "storaged-unfinished"
# The times of an emulated processor that others use as well: lvm alone takes a second and more on it.
PATIENCE = 15


def lvs(vg="vg0", fields="lv_name,lv_tags,lv_attr,data_percent"):
    out = subprocess.run(["lvs", "--reportformat", "json", "-o", fields, vg], capture_output=True, text=True,
                         timeout=60, check=True).stdout
    return {row["lv_name"]: row for row in json.loads(out)["report"][0]["lv"]}


def define(service, devices, name="vg0", **options):
    path, _ = service.manager.DefinePool(name, "logical", {"source-devices": devices},
                                         {"wait": 60_000_000, **options})
    return service.pool(path)


@pytest.fixture
def pool(service, disks):
    """vg0, built of both disks, started and looked at."""
    return define(service, disks, build=True, start=True)


def volumes(service, pool):
    """The names; None while the service is still looking for them."""
    try:
        return set(service.volumes(pool))
    except GLib.Error as error:
        if not error_name(error).endswith(".Inaccessible"):
            raise
        return None


def wait(condition, what, timeout=PATIENCE):
    begin = time.monotonic()
    iterate_until(condition, timeout, what)
    return time.monotonic() - begin


def write(device, mib, at=0):
    subprocess.run(["dd", "if=/dev/urandom", f"of={device}", "bs=1M", f"count={mib}", f"seek={at}", "oflag=direct",
                    "status=none"], check=True, timeout=60)


def worker_of_pool():
    """The process that looks after the pool: that of the pool that ships is older."""
    return int(subprocess.run(["pgrep", "--newest", "--full", "storaged-worker pool"], capture_output=True, text=True,
                              timeout=60, check=True).stdout)


def test_others_changes_are_told(service, pool, command):
    log = service.log()
    command("lvcreate", "-L", "8M", "-n", "seen", "vg0")
    log.wait_for(lambda s: s.member == "InterfacesAdded" and s.args[0].endswith("/seen"), PATIENCE)
    command("lvcreate", "-an", "-Zn", "-L", "8M", "-n", "off", "vg0")
    log.wait_for(lambda s: s.member == "InterfacesAdded" and s.args[0].endswith("/off"), PATIENCE)
    path = service.volume(pool.GetVolume("seen")).path
    command("lvextend", "-L", "16M", "vg0/seen")
    log.wait_changed(path, "Capacity", 16 * MIB, PATIENCE)
    with open("/dev/vg0/seen", "r+b"):
        pool.Refresh()
        assert service.volume(path).get("InUse")
    # That it was closed is told by udev: it had been open for writing.
    log.wait_changed(path, "InUse", False, PATIENCE)
    command("lvremove", "-y", "vg0/seen")
    log.wait_removed(path, PATIENCE)
    assert volumes(service, pool) == {"off"}


def test_a_burst_is_few_refreshes(service, pool, command, tmp_path):
    """Hundreds of events, which take udev many seconds here, and the looks at the group counted."""
    trace = tmp_path / "trace"
    with subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=execve", "-s", "64", "-o", trace, "-p",
                           str(worker_of_pool())]) as strace:
        try:
            wait(lambda: "TracerPid:\t0" not in Path(f"/proc/{worker_of_pool()}/status").read_text(), "strace")
            device = Path("/sys/class/block", Path(os.environ["STORAGED_VM_DISKS"].split()[0]).name, "uevent")
            for _ in range(300):
                device.write_text("change")
            command("udevadm", "settle", "--timeout=200", timeout=210)
            command("lvcreate", "-L", "8M", "-n", "last", "vg0")
            wait(lambda: "last" in (volumes(service, pool) or ()), "the last one")
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(PATIENCE)
    looks = trace.read_text().count('"fullreport"')
    assert 1 <= looks < 60, f"{looks} looks"


def test_idle_does_not_look(pool, tmp_path):
    """What a look itself does is no reason for another."""
    time.sleep(3)
    trace = tmp_path / "trace"
    with subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=execve", "-o", trace, "-p",
                           str(worker_of_pool())]) as strace:
        pool.Refresh()
        time.sleep(5)
        strace.send_signal(signal.SIGINT)
        strace.wait(PATIENCE)
    assert trace.read_text().count("execve(") <= 1


def test_thin_pools_are_followed(service, pool, command):
    """By themselves: there is no event that tells how full they are."""
    command("lvcreate", "--type", "thin-pool", "-L", "64M", "-n", "tp", "vg0")
    path, _ = pool.CreateVolume("thin", 512 * MIB, {"allocation": 0, "wait": 60_000_000})
    log = service.log()
    write("/dev/vg0/thin", 16)
    log.wait_for(lambda s: s.member == "PropertiesChanged" and s.path == path
                 and s.args[1].get("Allocation", 0) > 15 * MIB, 60, "the volume's allocation")
    wait(lambda: service.proxy(pool.path, "Pool.Logical").get("ThinPools")[0][2] == 16 * MIB, "the pool's")
    assert pool.get("Problems") == []
    command("lvcreate", "-L", "8M", "-n", "origin", "vg0")
    command("lvcreate", "-s", "-L", "4M", "-n", "snap", "vg0/origin")
    wait(lambda: "snap" in volumes(service, pool), "the snapshot")
    # Seven eighths of its room: of those 4 MiB each chunk takes a little more than its size.
    command("dd", "if=/dev/urandom", "of=/dev/vg0/origin", "bs=512k", "count=7", "oflag=direct")
    write("/dev/vg0/thin", 40, at=16)
    wait(lambda: any("'snap'" in text for _, text in pool.get("Problems")), "the snapshot's problem")
    wait(lambda: any("'tp'" in text for _, text in pool.get("Problems")), "the thin pool's problem")
    assert {code for code, _ in pool.get("Problems")} == {"low-space"}


def wait_problems(pool, n):
    wait(lambda: len(pool.get("Problems")) == n, f"{n} problems")
    return pool.get("Problems")


def test_leftovers_go_when_a_worker_begins(service, pool, daemon, command):
    command("lvcreate", "-L", "8M", "-n", "whole", "vg0")
    command("lvcreate", "-L", "8M", "-n", "half", "--addtag", TAG, "vg0")
    command("lvcreate", "-L", "8M", "-n", "held", "--addtag", TAG, "vg0")
    wait(lambda: "whole" in volumes(service, pool), "the whole one")
    assert "half" not in volumes(service, pool) and "half" in lvs()
    with open("/dev/vg0/held", "rb"):
        daemon.kill()
        daemon.start()
        pool = service.pool(service.manager.GetPoolByName("vg0"))
        wait(lambda: "half" not in lvs(), "the leftover to go")
        wait(lambda: volumes(service, pool) == {"whole"}, "the volumes")
        assert "held" in lvs() and any("\"held\"" in text for _, text in wait_problems(pool, 1))


@pytest.mark.parametrize("delay", [0.1, 0.6, 1.2])
def test_worker_killed_while_it_makes_a_volume(service, pool, delay):
    """Then the volume is whole or not there, and what is left of it goes."""
    pending = pool.start("CreateVolume", "victim", 8 * MIB, {})
    end = time.monotonic() + delay
    wait(lambda: time.monotonic() > end, "the moment")
    if not pending.done:
        os.killpg(worker_of_pool(), signal.SIGKILL)
    try:
        pending.wait(60)
        made = True
    except GLib.Error:
        made = False
    wait(lambda: pool.get("State") == "active" and not any(row["lv_tags"] for row in lvs().values()),
         "the leftovers to go")
    wait(lambda: volumes(service, pool) == set(lvs()), "the volumes")
    assert not made or "victim" in lvs()
    pool.CreateVolume("next", 8 * MIB, {"wait": 60_000_000})
    assert "next" in volumes(service, pool)


def test_a_disk_goes_and_comes_back(service, disks, monitor, command):
    hot = monitor.plug_disk("hot", 256 << 20)
    pool = define(service, [disks[0], hot], build=True, start=True)
    pool.CreateVolume("safe", 8 * MIB, {"wait": 60_000_000})
    command("lvcreate", "-L", "8M", "-n", "gone", "vg0", hot)
    wait(lambda: volumes(service, pool) == {"safe", "gone"}, "both volumes")
    monitor.unplug_disk("hot", keep=True)
    pool.wait_for("Health", "degraded", PATIENCE)
    (code, text), = pool.get("Problems")
    assert code == "missing-device" and hot in text
    problems = {name: volume["Problem"] for name, volume in service.volumes(pool).items()}
    assert problems["safe"] == "" and "missing" in problems["gone"]
    command("lvchange", "-an", "vg0/gone")
    monitor.plug_disk("hot", 256 << 20)
    pool.wait_for("Health", "ok", PATIENCE)
    assert pool.get("Problems") == []


def test_all_disks_gone(service, monitor, command):
    hot = monitor.plug_disk("lone", 256 << 20, 1)
    pool = define(service, [hot], name="hotvg", build=True, start=True)
    pool.CreateVolume("disk", 8 * MIB, {"wait": 60_000_000})
    monitor.unplug_disk("lone")
    pool.wait_for("Health", "inaccessible", PATIENCE)
    assert volumes(service, pool) == {"disk"} and "hotvg" in pool.get("Problems")[0][1]
    command("dmsetup", "remove", "--retry", "hotvg-disk")
    pool.Stop()


def metadata_of_many(text, n):
    """A backup of a group with one volume of one extent, "v0", as one of a group with n of them."""
    begin = text.index("\t\tv0 {")
    end = text.index("\n\t\t}\n", begin) + len("\n\t\t}\n")
    one = text[begin:end]
    uuid = one.split('id = "')[1].split('"')[0]
    assert '"pv0", 0' in one
    more = (one.replace("v0 {", f"v{i} {{", 1).replace('"pv0", 0', f'"pv0", {i}')
            .replace(uuid, f"{uuid[:-4]}{i:04d}") for i in range(1, n))
    # To activate all of them takes minutes on an emulated processor, so Start shall not.
    return (text[:end] + "".join(more) + text[end:]).replace("flags = []\n\t\t\tcreation_time",
                                                             'flags = ["ACTIVATION_SKIP"]\n\t\t\tcreation_time')


def test_five_hundred_volumes(service, disks, command, tmp_path):
    """A look takes little more than lvs itself, which reads less."""
    command("vgcreate", "-s", "512k", "many", disks[0])
    command("lvcreate", "-an", "-Zn", "-l", "1", "-n", "v0", "many")
    backup = tmp_path / "backup"
    command("vgcfgbackup", "-f", str(backup), "many")
    backup.write_text(metadata_of_many(backup.read_text(), 500))
    command("vgcfgrestore", "--force", "-f", str(backup), "many")
    pool = define(service, [disks[0]], name="many")
    pool.Start({"wait": 60_000_000})
    daemon_took, lvs_took = [], []
    assert volumes(service, pool) == set(lvs("many"))
    for _ in range(3):
        begin = time.monotonic()
        pool.Refresh()
        daemon_took.append(time.monotonic() - begin)
        begin = time.monotonic()
        lvs("many")
        lvs_took.append(time.monotonic() - begin)
    assert min(daemon_took) < 3 * min(lvs_took) + 0.5, (daemon_took, lvs_took)
