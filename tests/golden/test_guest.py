# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Volumes as guests get them: X.txt (see guest-driver.c) gives X.xml and X.json, where there are such, or the error in
X.err, of which the first line is for the XML and the second one for the JSON.
"""

import json
import os
import subprocess

import pytest
from conftest import HERE, schema_errors

DOMAIN = """<domain type='qemu'>
  <name>guest</name>
  <memory>65536</memory>
  <os><type>hvm</type></os>
  <devices>
{}  </devices>
</domain>
"""

CASES = sorted((HERE / "guest").glob("*.txt"))


def describe(kind, path):
    with open(path, encoding="utf-8") as f:
        done = subprocess.run([os.environ["GUEST_DRIVER"], kind], stdin=f, capture_output=True, text=True, timeout=30,
                              check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout, done.returncode == 0


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_descriptions(path):
    errors = path.with_suffix(".err").read_text().splitlines() if path.with_suffix(".err").exists() else []
    for kind in ("xml", "json"):
        text, fine = describe(kind, path)
        wanted = path.with_suffix(f".{kind}")
        assert fine == wanted.exists(), text
        assert text == (wanted.read_text().rstrip("\n") + "\n" * (kind == "xml") if fine else errors.pop(0))
    assert errors == []


def test_disks_validate_against_libvirts_schema(tmp_path):
    documents = []
    for path in (HERE / "guest").glob("*.xml"):
        documents.append(tmp_path / path.name)
        documents[-1].write_text(DOMAIN.format(path.read_text()))
    assert len(documents) > 5
    assert schema_errors("domain.rng", documents) == ""


def nodes_of(node):
    yield node
    for child in ("file", "backing"):
        if node.get(child):
            yield from nodes_of(node[child])


@pytest.mark.parametrize("path", sorted((HERE / "guest").glob("*.json")), ids=lambda path: path.stem)
def test_nodes_of_qemu(path):
    nodes = list(nodes_of(json.loads(path.read_text())))
    names = [node["node-name"] for node in nodes]
    assert len(set(names)) == len(names) and all(len(name) < 32 for name in names)
    for node in nodes:
        assert ("file" in node) != ("filename" in node)
        # An overlay says what is behind it, or that nothing is.
        assert ("backing" in node) == (node["driver"] in ("qcow2", "qcow", "qed", "vmdk"))
