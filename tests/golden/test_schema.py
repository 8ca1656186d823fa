# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Documents made out of libvirt's schemas: each is read without losing any element or attribute, and printed so
that the schema accepts it again, or it is refused for one of the reasons listed here.
"""

import collections
import random
import re
import xml.etree.ElementTree as ET

from conftest import SCHEMAS, schema_errors
from schema_documents import Generator

POOLS = 600
VOLUMES = 1200

# Where this service is stricter than the schema.
POOL_REFUSALS = [
    "is not an absolute path such as",
    "part_separator of device .* is for pools of type disk only",
    "the size .* is negative or too large",
    "authenticate by (ceph|chap) only",
    "is not the UUID of a secret",
    "unknown element <config_opts> of namespace",
    "unknown attribute 'multifunction'",
    "Copy-on-write cannot be set",
    "parent_wwnn and parent_wwpn go together",
    "cannot be a volume group's name",
    "is not an iSCSI target's name",
    "The pool has no name$",
    "a second <(name|vendor|product)>",
]
VOLUME_REFUSALS = [
    "is not a volume format of pools",
    "cannot have a backing store",
    "A backing store cannot be of the format",
    "has no capacity, nor a backing store",
    "the size .* is negative or too large",
    "is not a power of two",
    "compat, cluster size and features are for qcow2",
    "The compat level",
    "the encryption engine 'librbd'",
    "has no encryption",
    "is not the name of a",
    "nocow is for files",
    "The encryption's cipher has no size",
]

# What is checked and not kept, since it is found and not defined.
UNKEPT = {
    "pool/source/device/freeExtent",
    "volume/key",
    "volume/source",
    "volume/physical",
    "volume/target/path",
    # Empty ones say nothing.
    "pool/features",
    "pool/refresh",
    "pool/refresh/volume",
    "pool/target/permissions",
    "volume/target/permissions",
    "volume/target/features",
    "volume/backingStore/permissions",
    "{http://libvirt.org/schemas/storagepool/fs/1.0}mount_opts",
    # The values for "not given".
    "@port=-1",
    "@port=0",
    "owner=-1",
    "owner=4294967295",
    "group=-1",
    "group=4294967295",
    # What it would have been anyway.
    "@unit",
    "@engine=qemu",
}


def parts(node, path=""):
    """A line for each element, attribute and text below node."""
    path = f"{path}/{node.tag}" if path else node.tag
    yield path
    for name, value in node.attrib.items():
        yield f"{path}@{name}={value}"
    if node.text and node.text.strip():
        yield f"{path}={node.text}"
    for child in node:
        yield from parts(child, path)


def is_kept(part):
    path = re.split("[@=]", part)[0]
    return not any(
        path == gone or path.startswith(gone + "/") or part.endswith(gone) or f"{gone}=" in part
        for gone in UNKEPT
    )


def value_free(part):
    """Without values that are written another way: numbers, UUIDs, paths; vendors leave <format>."""
    part = part.replace("/format/vendor", "/vendor").replace("/format/product", "/product")
    path, equals, value = part.partition("=")
    rewritten = re.fullmatch(r"[0-9a-fA-FxX.-]+", value) or "path" in path or value.startswith("/")
    return path if rewritten else path + equals + value


def lost(before, after):
    kept = {value_free(part) for part in parts(ET.fromstring(after))}
    return [
        part
        for part in parts(ET.fromstring(before))
        if is_kept(part) and value_free(part) not in kept
    ]


def run_through(codec, folder, schema, what, pool_type, count, refusals):
    generator = Generator(SCHEMAS / schema, random.Random(1))
    reasons = collections.Counter()
    outputs = []
    for i in range(count):
        document = generator.document()
        path = folder / f"{i}.xml"
        path.write_text(document)
        printed, error = codec.run(what, pool_type(document), path)
        if error:
            known = [r for r in refusals if re.search(r, error.rstrip())]
            assert known, f"{error}\n{document}"
            reasons.update(known[:1])
            continue
        assert not lost(document, printed), f"{document}\n{printed}"
        outputs.append(path.with_suffix(".out.xml"))
        outputs[-1].write_text(printed)
    assert schema_errors(schema, outputs) == ""
    # A generator that makes nothing but refused documents would prove nothing.
    assert len(outputs) >= 40, reasons
    assert sorted(set(refusals) - set(reasons)) == [], "reasons that no document was refused for"


def test_pools(codec, tmp_path):
    run_through(codec, tmp_path, "storagepool.rng", "pool", lambda _: "-", POOLS, POOL_REFUSALS)


def pool_type_of(document):
    """The type of pool that has volumes of the format that was drawn."""
    drawn = re.search(r'<target>.*?<format type="([^"]*)" />.*?</target>', document)
    of_disks = ("none", "linux", "fat16", "fat32", "linux-swap", "linux-lvm", "linux-raid", "extended")
    return "disk" if drawn and drawn[1] in of_disks else "dir"


def test_volumes(codec, tmp_path):
    run_through(codec, tmp_path, "storagevol.rng", "volume", pool_type_of, VOLUMES, VOLUME_REFUSALS)
