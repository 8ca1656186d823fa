# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 3x512M
# timeout: 3000
"""Pools on volume groups: what the service makes and shows, LVM's own tools read the same."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from client import MIB, refused

EXTENT = 4 * MIB
TAG = "storaged-unfinished"


def report(kind, *args, fields):
    """Rows of lvs, vgs or pvs, with sizes in bytes."""
    out = subprocess.run([kind, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields, *args],
                         capture_output=True, text=True, timeout=60, check=True).stdout
    return json.loads(out)["report"][0][kind[:-1]]


def lvs(vg="vg0"):
    rows = report("lvs", vg, fields="lv_name,lv_uuid,lv_size,lv_attr,lv_tags,origin,origin_size,pool_lv,data_percent,"
                                    "metadata_percent,lv_metadata_size,segtype")
    return {row["lv_name"]: row for row in rows}


def vgs(vg="vg0"):
    return report("vgs", vg, fields="vg_size,vg_free,vg_extent_size,pv_count,lv_count")[0]


def pvs():
    return {row["pv_name"]: row["vg_name"] for row in report("pvs", fields="pv_name,vg_name")}


def nothing_on(disk):
    return subprocess.run(["blkid", "-p", disk], capture_output=True, timeout=60, check=False).returncode == 2


def define(service, devices, name="vg0", **options):
    definition = {"source-devices": devices} if devices else {}
    path, job = service.manager.DefinePool(name, "logical", definition, {"wait": 60_000_000, **options})
    assert job == "/"
    return service.pool(path)


@pytest.fixture
def pool(service, disks):
    """vg0, built of the first two disks and started."""
    return define(service, disks[:2], build=True, start=True)


def create(service, pool, name, capacity=8 * MIB, **options):
    path, job = pool.CreateVolume(name, capacity, {"wait": 60_000_000, **options})
    assert job == "/"
    return service.volume(path)


@contextlib.contextmanager
def mounted(device):
    subprocess.run(["mkfs.ext4", "-q", device], check=True, timeout=60)
    subprocess.run(["mount", device, "/mnt"], check=True, timeout=60)
    try:
        yield
    finally:
        subprocess.run(["umount", "/mnt"], check=True, timeout=60)


def write(device, mib, at=0):
    subprocess.run(["dd", "if=/dev/urandom", f"of={device}", "bs=1M", f"count={mib}", f"seek={at}", "oflag=direct",
                    "status=none"], check=True, timeout=60)


# The group


def test_build_start_stop_delete(service, disks):
    pool = define(service, disks[:2])
    pool.Build()
    group = vgs()
    assert group["pv_count"] == "2" and group["lv_count"] == "0"
    assert {pvs()[d] for d in disks[:2]} == {"vg0"} and pvs().get(disks[2]) in (None, "")
    pool.Start()
    assert (pool.get("State"), pool.get("Health"), pool.get("Problems")) == ("active", "ok", [])
    assert pool.get("Capacity") == int(group["vg_size"]) and pool.get("Available") == int(group["vg_free"])
    assert pool.get("TargetPath") == "/dev/vg0"
    logical = service.proxy(pool.path, "Pool.Logical")
    assert logical.get("VolumeGroup") == "vg0" and logical.get("ExtentSize") == int(group["vg_extent_size"])
    create(service, pool, "a")
    pool.Stop()
    assert lvs()["a"]["lv_attr"][4] == "-" and not Path("/dev/vg0/a").exists()
    with refused("HasDependents") as e:
        pool.Delete()
    assert "'a'" in e.text and "a" in lvs()
    pool.Start()
    assert lvs()["a"]["lv_attr"][4] == "a" and Path("/dev/vg0/a").is_block_device()
    service.volume(pool.GetVolume("a")).Delete()
    pool.Stop()
    pool.Delete()
    assert all(nothing_on(d) for d in disks) and not pvs()


def test_build_destroys_nothing_unasked(service, disks, command):
    command("mkfs.ext4", "-q", "-L", "precious", disks[0])
    pool = define(service, disks[:2])
    with refused("Exists") as e:
        pool.Build()
    assert "precious" in e.text and disks[0] in e.text
    assert "precious" in command("blkid", "-p", disks[0]) and nothing_on(disks[1])
    pool.Build({"overwrite": True})
    assert vgs()["pv_count"] == "2"
    with refused("Exists") as e:
        pool.Build({"overwrite": True})
    assert "vg0" in e.text


def test_build_refuses_parts_of_other_groups(service, disks, command):
    command("vgcreate", "theirs", disks[1])
    pool = define(service, disks[:2])
    with refused("InUse") as e:
        pool.Build({"overwrite": True})
    assert "theirs" in e.text and disks[1] in e.text
    assert pvs()[disks[1]] == "theirs" and nothing_on(disks[0])


def test_build_refuses_what_is_mounted_and_cleans_up(service, disks):
    pool = define(service, disks[:2])
    with mounted(disks[1]):
        with refused("InUse") as e:
            pool.Build({"overwrite": True})
        assert "/mnt" in e.text and nothing_on(disks[0])


def test_failed_build_leaves_nothing(service, disks):
    """LVM itself refuses the name: there is a folder of it."""
    Path("/dev/vgx").mkdir()
    (Path("/dev/vgx") / "file").touch()
    try:
        pool = define(service, disks[:2], name="vgx")
        with refused("Failed"):
            pool.Build()
        assert not pvs() and all(nothing_on(d) for d in disks[:2])
    finally:
        (Path("/dev/vgx") / "file").unlink()
        Path("/dev/vgx").rmdir()


def test_same_device_twice(service, disks):
    link = next(p for p in Path("/dev/disk/by-id").iterdir() if os.path.realpath(p) == disks[0])
    with refused("InvalidArgument", "Conflict"):
        define(service, [disks[0], str(link)]).Build()
    assert nothing_on(disks[0])


def test_group_by_name_alone(service, disks, command):
    with refused("NotFound") as e:
        define(service, [], name="theirs", start=True)
    assert "theirs" in e.text
    command("vgcreate", "theirs", disks[0])
    command("lvcreate", "-an", "-Zn", "-L", "8M", "-n", "off", "theirs")
    pool = define(service, [], name="theirs", start=True)
    assert lvs("theirs")["off"]["lv_attr"][4] == "a"
    assert service.volumes(pool)["off"]["Capacity"] == 8 * MIB


def test_stop_deactivates_all_or_nothing(service, pool):
    for name in ("a", "b", "c"):
        create(service, pool, name)
    with open("/dev/vg0/c", "rb"), mounted("/dev/vg0/b"):
        with refused("InUse") as e:
            pool.Stop()
        assert "'b' (mounted on /mnt" in e.text and "'c' (opened by process" in e.text and "'a'" not in e.text
        assert pool.get("State") == "active"
        assert {row["lv_attr"][4] for row in lvs().values()} == {"a"}
    pool.Stop()
    assert {row["lv_attr"][4] for row in lvs().values()} == {"-"}


def test_delete_refuses_what_is_not_ours(service, pool, disks, command):
    command("vgextend", "vg0", disks[2])
    pool.Stop()
    with refused("Failed") as e:
        pool.Delete()
    assert disks[2] in e.text and pvs()[disks[0]] == "vg0"
    command("vgreduce", "vg0", disks[2])
    pool.Delete()
    assert nothing_on(disks[0]) and nothing_on(disks[1])


# What there is


def make_one_of_each(command, disks):
    command("vgextend", "vg0", disks[2])
    command("lvcreate", "-L", "16M", "-n", "linear", "vg0")
    command("lvcreate", "-i2", "-L", "16M", "-n", "striped", "vg0")
    command("lvcreate", "--type", "mirror", "-m1", "-L", "16M", "-n", "mirror", "vg0")
    command("lvcreate", "--type", "raid1", "-m1", "-L", "16M", "-n", "raid", "vg0")
    command("lvcreate", "--type", "thin-pool", "-L", "64M", "-n", "tp", "vg0")
    command("lvcreate", "-V", "256M", "--thinpool", "tp", "-n", "thin", "vg0")
    command("lvcreate", "-s", "-kn", "-n", "thinsnap", "vg0/thin")
    command("lvcreate", "-s", "-L", "8M", "-n", "snap", "vg0/linear")
    command("lvcreate", "-an", "-Zn", "-L", "8M", "-n", "off", "vg0")
    write("/dev/vg0/thin", 10)
    write("/dev/vg0/linear", 2)


def test_rows_are_what_lvs_reads(service, pool, disks, command):
    make_one_of_each(command, disks)
    # Whoever asks has a thin pool write its metadata, which takes less room after that.
    lvs()
    pool.Refresh()
    volumes, rows = service.volumes(pool), lvs()
    assert set(volumes) == set(rows) - {"tp"}
    for name, volume in volumes.items():
        row = rows[name]
        assert (volume["Key"], volume["Path"], volume["Type"]) == (row["lv_uuid"], f"/dev/vg0/{name}", "block")
        assert volume["Capacity"] == int(row["origin_size"] or row["lv_size"]) if name == "snap" else \
            int(row["lv_size"])
        share = float(row["data_percent"] or 0) / 100 if name in ("thin", "thinsnap", "snap") else 1
        assert abs(volume["Allocation"] - int(row["lv_size"]) * share) < 64, name
        assert volume["BackingPath"] == (f"/dev/vg0/{row['origin']}" if row["origin"] else "")
        assert volume["InUse"] == (row["lv_attr"][5] == "o") and volume["Format"] == ""
        assert ("not active" in volume["Problem"]) == (row["lv_attr"][4] == "-")
        if name != "off":
            st = os.stat(volume["Path"])
            assert (volume["Mode"], volume["Owner"], volume["Group"]) == (st.st_mode & 0o777, st.st_uid, st.st_gid)
    assert volumes["snap"]["Physical"] == 8 * MIB and volumes["thin"]["Allocation"] >= 10 * MIB
    pools = service.proxy(pool.path, "Pool.Logical").get("ThinPools")
    (name, size, used, metadata_size, metadata_used, _more), = pools
    row = rows["tp"]
    assert (name, size, metadata_size) == ("tp", int(row["lv_size"]), int(row["lv_metadata_size"]))
    assert abs(used - size * float(row["data_percent"]) / 100) < 64
    assert abs(metadata_used - metadata_size * float(row["metadata_percent"]) / 100) < 64


def test_extents(service, pool, command):
    """Where a volume lies on its devices is where the kernel maps it to."""
    command("lvcreate", "-i2", "-L", "16M", "-n", "striped", "vg0")
    pool.Refresh()
    xml = service.volume(pool.GetVolume("striped")).GetXML()
    table = command("dmsetup", "table", "vg0-striped").split()
    for number, sector in (table[5:7], table[7:9]):
        device = os.path.realpath(f"/dev/block/{number}")
        start = int(sector) * 512
        assert f'<device path="{device}">' in xml.replace("'", '"')
        assert f'<extent start="{start}" end="{start + 8 * MIB}"/>' in xml.replace("'", '"')


# Volumes


def test_create_and_delete_thick(service, pool):
    log = service.log()
    volume = create(service, pool, "disk", 10 * MIB)
    row = lvs()["disk"]
    assert (row["lv_size"], row["segtype"], row["lv_tags"], row["lv_attr"][4]) == (str(12 * MIB), "linear", "", "a")
    assert volume.get("Capacity") == volume.get("Allocation") == 12 * MIB and volume.get("Key") == row["lv_uuid"]
    assert Path("/dev/vg0/disk").is_block_device()
    volume.Delete()
    assert "disk" not in lvs()
    log.settle(2)
    # It is not told again when udev tells of it.
    assert len([s for s in log.signals if s.member == "InterfacesAdded" and s.args[0] == volume.path]) == 1


def test_old_contents_are_wiped(service, pool, command):
    create(service, pool, "old", 16 * MIB)
    command("mkfs.ext4", "-q", "/dev/vg0/old")
    service.volume(pool.GetVolume("old")).Delete()
    create(service, pool, "new", 16 * MIB)
    assert nothing_on("/dev/vg0/new")


def test_thin_volumes_make_their_pool(service, pool):
    free = int(vgs()["vg_free"])
    first = create(service, pool, "one", 2048 * MIB, allocation=0)
    rows = lvs()
    assert rows["one"]["pool_lv"] == "thinpool" and rows["one"]["lv_size"] == str(2048 * MIB)
    assert free * 0.7 < int(rows["thinpool"]["lv_size"]) < free * 0.85 and rows["thinpool"]["lv_tags"] == ""
    create(service, pool, "two", 16 * MIB, allocation=4 * MIB)
    assert [row["pool_lv"] for row in lvs().values()].count("thinpool") == 2
    assert first.get("Allocation") == 0
    with refused("NoSpace"):
        create(service, pool, "three", 4096 * MIB, allocation=2048 * MIB)
    assert set(service.volumes(pool)) == {"one", "two"} and "three" not in lvs()
    assert [p[0] for p in service.proxy(pool.path, "Pool.Logical").get("ThinPools")] == ["thinpool"]


def test_snapshots(service, pool, command):
    create(service, pool, "thick", 16 * MIB)
    create(service, pool, "thin", 16 * MIB, allocation=0)
    write("/dev/vg0/thick", 1)
    write("/dev/vg0/thin", 1)
    full = create(service, pool, "full", 16 * MIB, **{"backing-path": "/dev/vg0/thick"})
    create(service, pool, "small", 16 * MIB, **{"backing-path": "/dev/mapper/vg0-thick", "allocation": 4 * MIB})
    create(service, pool, "light", 16 * MIB, **{"backing-path": "/dev/vg0/thin"})
    rows = lvs()
    assert (rows["full"]["origin"], rows["small"]["origin"], rows["light"]["origin"]) == ("thick", "thick", "thin")
    assert rows["light"]["pool_lv"] == "thinpool" and rows["light"]["lv_attr"][4] == "a"
    assert int(rows["full"]["lv_size"]) >= 16 * MIB and int(rows["small"]["lv_size"]) == 4 * MIB
    assert full.get("Capacity") == 16 * MIB and full.get("BackingPath") == "/dev/vg0/thick"
    assert command("cmp", "/dev/vg0/thick", "/dev/vg0/full") == command("cmp", "/dev/vg0/thin", "/dev/vg0/light") == ""
    with refused("Unsupported"):
        create(service, pool, "deep", 16 * MIB, **{"backing-path": "/dev/vg0/full"})
    with refused("NotFound"):
        create(service, pool, "none", 16 * MIB, **{"backing-path": "/dev/vg0/nothing"})
    with refused("InvalidArgument") as e:
        create(service, pool, "other", 32 * MIB, **{"backing-path": "/dev/vg0/thin"})
    assert str(16 * MIB) in e.text
    for origin in ("thick", "thin"):
        with refused("HasDependents") as e:
            service.volume(pool.GetVolume(origin)).Delete()
        assert ("'small'" if origin == "thick" else "'light'") in e.text
    with refused("HasDependents"):
        service.volume(pool.GetVolume("thick")).Resize(32 * MIB, {})
    for name in ("full", "small", "light", "thick", "thin"):
        service.volume(pool.GetVolume(name)).Delete()
    assert set(lvs()) == {"thinpool"}


@pytest.mark.parametrize("name", ["snapshot1", "a_rimage_b", "with space", "-dash", "ümlaut", "x" * 127])
def test_names_that_lvm_refuses(service, pool, name):
    with refused("InvalidName"):
        create(service, pool, name)
    assert not lvs()


def test_refusals_leave_nothing(service, pool):
    create(service, pool, "disk")
    with refused("Exists"):
        create(service, pool, "disk")
    with refused("NoSpace"):
        create(service, pool, "big", 4096 * MIB)
    with refused("InvalidArgument"):
        create(service, pool, "odd", preallocation="metadata")
    with refused("InvalidArgument"):
        create(service, pool, "odd", preallocation="off")
    with refused("Unsupported") as e:
        create(service, pool, "mode", mode=0o600)
    assert "660" in e.text
    create(service, pool, "same", mode=0o660, owner=0, preallocation="full")
    assert set(lvs()) == set(service.volumes(pool)) == {"disk", "same"}
    assert not any(row["lv_tags"] for row in lvs().values())


def test_resize(service, pool):
    thick, thin = create(service, pool, "thick"), create(service, pool, "thin", 64 * MIB, allocation=0)
    thick.Resize(17 * MIB, {})
    assert thick.get("Capacity") == int(lvs()["thick"]["lv_size"]) == 20 * MIB
    with open("/dev/vg0/thick", "rb") as held:
        thick.Resize(24 * MIB, {})
        assert held.seek(0, os.SEEK_END) == 24 * MIB
        with refused("InUse") as e:
            thick.Resize(8 * MIB, {"shrink": True})
        assert "opened by process" in e.text
    with refused("InvalidArgument"):
        thick.Resize(8 * MIB, {})
    thick.Resize(8 * MIB, {"shrink": True})
    assert int(lvs()["thick"]["lv_size"]) == 8 * MIB == thick.get("Capacity")
    thick.Resize(4 * MIB, {"delta": True})
    assert int(lvs()["thick"]["lv_size"]) == 12 * MIB == thick.get("Capacity")
    thick.Resize(4 * MIB, {"delta": True, "shrink": True})
    assert int(lvs()["thick"]["lv_size"]) == 8 * MIB == thick.get("Capacity")
    with refused("NoSpace"):
        thick.Resize(4096 * MIB, {})
    with mounted("/dev/vg0/thick"), refused("InUse") as e:
        thick.Resize(4 * MIB, {"shrink": True, "force": True})
    assert "/mnt" in e.text
    thin.Resize(1024 * MIB, {})
    assert int(lvs()["thin"]["lv_size"]) == 1024 * MIB
    write("/dev/vg0/thin", 20)
    with refused("InvalidArgument"):
        thin.Resize(8 * MIB, {"shrink": True})
    thin.Resize(64 * MIB, {"shrink": True})
    assert int(lvs()["thin"]["lv_size"]) == 64 * MIB == thin.get("Capacity")


def test_delete_leaves_what_others_are_built_on(service, pool, command, tmp_path):
    """By whatever name of the device."""
    volume = create(service, pool, "disk", 16 * MIB)
    images = service.make_pool("images", str(tmp_path))
    for i, name in enumerate(("/dev/vg0/disk", "/dev/mapper/vg0-disk", os.path.realpath("/dev/vg0/disk"))):
        command("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", name, f"{tmp_path}/overlay{i}", "16M")
        overlay = service.wait_volume(images, f"overlay{i}")
        overlay.wait_for("BackingPath", name)
        for call in (volume.Delete, volume.Wipe, lambda: volume.Resize(8 * MIB, {"shrink": True})):
            with refused("HasDependents") as e:
                call()
            assert f"overlay{i}" in e.text
        overlay.Delete()
    volume.Delete()
    assert "disk" not in lvs()
    images.Stop()
    images.Undefine()


def test_delete_leaves_what_is_in_use(service, pool):
    volume = create(service, pool, "disk", 16 * MIB)
    for force in (False, True):
        with mounted("/dev/vg0/disk"), refused("InUse") as e:
            volume.Delete({"force": force})
        assert "/mnt" in e.text
        with open("/dev/vg0/disk", "rb"), refused("InUse") as e:
            volume.Delete({"force": force})
        assert "opened by process" in e.text
    assert "disk" in lvs()
    volume.Delete()


def test_open(service, pool, command):
    volume = create(service, pool, "disk")
    fd, = service.call(volume.path, "Volume", "Open", "(sa{sv})", ("rw", {}), want_fds=True)[1]
    os.pwrite(fd, b"hello", 4096)
    with refused("InUse"):
        service.call(volume.path, "Volume", "Open", "(sa{sv})", ("rw", {}), want_fds=True)
    os.close(fd)
    fd, = service.call(volume.path, "Volume", "Open", "(sa{sv})", ("r", {}), want_fds=True)[1]
    assert os.pread(fd, 5, 4096) == b"hello"
    with pytest.raises(OSError):
        os.pwrite(fd, b"x", 0)
    os.close(fd)
    command("lvchange", "-an", "vg0/disk")
    with refused("NotFound"):
        service.call(volume.path, "Volume", "Open", "(sa{sv})", ("r", {}), want_fds=True)
