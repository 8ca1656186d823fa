# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Makes documents out of a RELAX NG schema: a walk through the grammar from its start, in which a random choice
is taken wherever there is one. What the grammar says in regular expressions is looked up in SAMPLES.
"""

import pathlib
import xml.etree.ElementTree as ET

RNG = "{http://relaxng.org/ns/structure/1.0}"

# Values for each definition that ends in a datatype.
SAMPLES = {
    "UUID": ["6a1b2c3d4e5f60718293a4b5c6d7e8f9", "6A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9"],
    "objectName": ["tank", "a pool", "p\u00f6\u00f6l"],
    "volName": ["disk.img", "a b", "x:1:2"],
    "genericName": ["sda", "demo-target_1"],
    "dnsName": ["example.com", "host-1"],
    "ipv4Addr": ["192.168.1.10"],
    "ipv6Addr": ["::1", "fe80::1:2", "::ffff:10.0.0.1", "2001:db8:0:0:0:0:0:1"],
    "absFilePath": ["/dev/vdb", "/srv/images", "/a//b/./c"],
    "absDirPath": ["/", "/export"],
    "dirPath": ["share", "/export"],
    "IscsiQualifiedName": ["iqn.2010-05.com.example:disk", "iqn.2020-12.org.example"],
    "PortNumber": ["-1", "0", "3260", "65535"],
    "unit": ["", "b", "BYTES", "byte", "k", "KiB", "mb", "GIB", "T", "pB", "EiB"],
    "unsignedLong": ["1", "64", "65536", "0512"],
    "unsignedInt": ["0", "107", "4294967295"],
    "positiveInteger": ["1", "42"],
    "octalMode": ["0700", "644", "0"],
    "timestamp": ["1341933637", "1341933637.", "1341933637.273190990", "0.5"],
    "compat": ["0.10", "1.1", "2.0"],
    "wwn": ["20000000c9831b4b", "0x10000000C9831B4B"],
    "pciDomain": ["0x0000", "0xffffffff", "1"],
    "pciBus": ["0xff", "12"],
    "pciSlot": ["0x1f", "31", "0"],
    "pciFunc": ["0x7", "3"],
    "virYesNo": ["yes", "no"],
}
TEXTS = ["some text", "a<b>&'\"", "x"]


def load(path):
    """The definitions of a schema and of all that it includes; those of the including file win."""
    path = pathlib.Path(path)
    root = ET.parse(path).getroot()
    definitions = {}
    for include in root.iter(RNG + "include"):
        definitions.update(load(path.parent / include.get("href"))[0])
    definitions.update({d.get("name"): d for d in root.findall(RNG + "define")})
    return definitions, root.find(RNG + "start")


class Generator:
    def __init__(self, path, random):
        self.definitions, self.start = load(path)
        self.random = random
        self.optional = 0.5

    def document(self):
        # Full documents and nearly empty ones find different mistakes.
        self.optional = self.random.choice([0.1, 0.3, 0.7])
        holder = ET.Element("document")
        self.contents(self.start, holder, "start")
        return ET.tostring(holder[0], encoding="unicode")

    def contents(self, pattern, parent, name):
        children = list(pattern)
        if pattern.tag == RNG + "interleave":
            self.random.shuffle(children)
        for child in children:
            self.one(child, parent, name)

    def one(self, pattern, parent, name):
        kind = pattern.tag.removeprefix(RNG)
        match kind:
            case "ref":
                self.reference(pattern.get("name"), parent)
            case "element":
                ns = pattern.get("ns")
                own = f"{{{ns}}}" if ns else self.namespace(parent)
                child = ET.SubElement(parent, own + pattern.get("name"))
                self.contents(pattern, child, name)
            case "attribute":
                holder = ET.Element("value")
                self.contents(pattern, holder, name)
                parent.set(pattern.get("name"), (holder.text or "") if len(pattern) else "4.2")
            case "optional":
                if self.random.random() < self.optional:
                    self.contents(pattern, parent, name)
            case "zeroOrMore" | "oneOrMore":
                for _ in range(self.random.randint(kind == "oneOrMore", 2)):
                    self.contents(pattern, parent, name)
            case "choice":
                self.one(self.random.choice(list(pattern)), parent, name)
            case "group" | "interleave":
                self.contents(pattern, parent, name)
            case "value":
                parent.text = pattern.text
            case "text":
                parent.text = self.random.choice(TEXTS)
            case "data":
                parent.text = self.random.choice(SAMPLES.get(name, ["/srv/uri"]))
            case "empty":
                pass
            case _:
                raise ValueError(f"the schema has <{kind}>, which is not known here")

    def reference(self, name, parent):
        definition = self.definitions[name]
        if name in SAMPLES and definition.find(RNG + "element") is None:
            parent.text = self.random.choice(SAMPLES[name])
        else:
            self.contents(definition, parent, name)

    @staticmethod
    def namespace(parent):
        return parent.tag[: parent.tag.index("}") + 1] if parent.tag.startswith("{") else ""
