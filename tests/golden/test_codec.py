# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Inputs and what must come of them: X.xml gives X.out.xml, or the error in X.err. A pool's X.status.xml is
what is printed while it runs; a volume's X.printed.xml is what is printed of it once it exists.
"""

import pytest
from conftest import HERE, schema_errors

OUTPUTS = (".out.xml", ".status.xml", ".printed.xml")

# A path that counts from the volume's folder is no libvirt XML before there is such a folder.
NOT_IN_SCHEMA = {HERE / "volume/dir/backing-relative.out.xml"}


def cases(kind):
    for path in sorted((HERE / kind).rglob("*.xml")):
        if not path.name.endswith(OUTPUTS):
            yield pytest.param(path, id=str(path.relative_to(HERE / kind)))


def compare(codec, what, pool_type, path):
    expected = path.with_suffix(".out.xml")
    printed, error = codec.run(what, pool_type, path)
    if expected.exists():
        assert error is None, error
        assert printed == expected.read_text()
    else:
        assert printed is None, f"accepted:\n{printed}"
        assert error == path.with_suffix(".err").read_text()


@pytest.mark.parametrize("path", cases("pool"))
def test_pool(codec, path):
    compare(codec, "pool", "-", path)


@pytest.mark.parametrize("path", cases("source"))
def test_source(codec, path):
    compare(codec, "source", path.parent.name, path)


@pytest.mark.parametrize("path", cases("volume"))
def test_volume(codec, path):
    compare(codec, "volume", path.parent.name, path)


@pytest.mark.parametrize("name", ["dir-full", "logical"])
def test_running_pool(codec, name):
    path = HERE / "pool" / name
    printed, error = codec.run("pool-status", "-", f"{path}.xml")
    assert error is None
    assert printed == path.with_suffix(".status.xml").read_text()


@pytest.mark.parametrize("name", ["full", "format-raw", "backing-relative"])
def test_existing_volume(codec, name):
    path = HERE / "volume/dir" / name
    printed, error = codec.run("printed", "dir", f"{path}.xml")
    assert error is None
    assert printed == path.with_suffix(".printed.xml").read_text()


def outputs(kind):
    return sorted(
        path
        for path in (HERE / kind).rglob("*.xml")
        if path.name.endswith(OUTPUTS) and path not in NOT_IN_SCHEMA
    )


def test_pools_validate_against_libvirts_schema():
    assert schema_errors("storagepool.rng", outputs("pool")) == ""


def test_volumes_validate_against_libvirts_schema():
    assert schema_errors("storagevol.rng", outputs("volume")) == ""


def test_large_documents_are_refused(codec, tmp_path):
    path = tmp_path / "large.xml"
    path.write_bytes(b"<pool type='dir'>" + b" " * (1024 * 1024) + b"</pool>")
    assert codec.run("pool", "-", path) == (None, "InvalidXML: line 1: the document is larger than 1 MiB\n")


def test_many_elements_are_refused(codec, tmp_path):
    path = tmp_path / "many.xml"
    path.write_text("<pool type='dir'>" + "<name/>" * 20000 + "</pool>")
    assert codec.run("pool", "-", path) == (None, "InvalidXML: line 1: there are too many elements\n")


def test_lines_beyond_65535_are_counted(codec, tmp_path):
    path = tmp_path / "long.xml"
    path.write_text("<pool type='dir'>" + "\n" * 70000 + "<colour/></pool>")
    assert codec.run("pool", "-", path) == (None, "InvalidXML: line 70001: unknown element <colour> in <pool>\n")
