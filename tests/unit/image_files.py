# SPDX-License-Identifier: LGPL-2.1-or-later
"""Image files that no tool here can make, written after the formats' published layouts."""

import struct
import uuid

SECTOR = 512


def bochs(size, version=2):
    fixed = struct.pack('<32s16s16sII', b'Bochs Virtual HD Image', b'Redolog', b'Growing',
                        version << 16, 512)
    redolog = struct.pack('<III', 512, 1, 1 << 20)
    redolog += struct.pack('<Q', size) if version == 1 else struct.pack('<IQ', 0, size)
    return (fixed + redolog).ljust(512, b'\0') + b'\xff' * 512 * 4


def cloop(block, n_blocks):
    preamble = (b'#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && '
                b'mount -r -t iso9660 /dev/cloop $1\nexit $?\n').ljust(128, b'\0')
    # Each offset is where the block's compressed data begin; these blocks are empty ones.
    first = 128 + 8 + (n_blocks + 1) * 8
    offsets = [first + 16 * i for i in range(n_blocks + 1)]
    return preamble + struct.pack('>II', block, n_blocks) + struct.pack(f'>{n_blocks + 1}Q', *offsets) \
        + bytes(16 * n_blocks)


def cow(size, backing=b''):
    return struct.pack('>4sI1024sIQI', b'OOOM', 2, backing, 0, size, 512).ljust(2048, b'\0')


def dmg(size, data=b'\x5a' * 4096):
    xml = b'<?xml version="1.0"?><plist version="1.0"><dict/></plist>\n'
    trailer = struct.pack('>4sIIIQQQQQII16s', b'koly', 4, 512, 1, 0, 0, len(data), 0, 0, 1, 1, bytes(16))
    trailer = trailer.ljust(216, b'\0') + struct.pack('>QQ', len(data), len(xml))
    trailer = trailer.ljust(488, b'\0') + struct.pack('>IQ', 1, size // SECTOR)
    return data + xml + trailer.ljust(512, b'\0')


def ploop(size, magic=b'WithouFreSpacExt', tracks=2048, entries=None, in_use=0):
    if entries is None:
        entries = -(-size // (tracks * SECTOR))
    header = struct.pack('<16sIIIIIQIIIQ', magic, 2, 16, 1024, tracks, entries, size // SECTOR, in_use,
                         tracks, 0, 0)
    return header.ljust(tracks * SECTOR, b'\0')


def vhd_checksum(b, at):
    return b[:at] + struct.pack('>I', ~sum(b[:at] + b[at + 4:]) & 0xffffffff) + b[at + 4:]


def vhd_footer(size, kind, creator=b'vpc ', chs=None, sparse_at=0xffffffffffffffff):
    cylinders, heads, sectors = chs or (size // SECTOR // (4 * 17), 4, 17)
    b = struct.pack('>8sIIQI4sI4sQQHBBIIBQ', b'conectix', 2, 0x10000, sparse_at, 0, creator, 0x50003,
                    b'Wi2k', size, size, cylinders, heads, sectors, kind, 0, 0, 0)
    b = b[:68] + uuid.uuid5(uuid.NAMESPACE_URL, 'vhd').bytes
    return vhd_checksum(b.ljust(512, b'\0'), 64)


def vhd_dynamic(size, parent=None, block=2 << 20, **kw):
    entries = -(-size // block)
    footer = vhd_footer(size, 4 if parent else 3, sparse_at=512, **kw)
    header = struct.pack('>8sQQIIII16sII', b'cxsparse', 0xffffffffffffffff, 1536, 0x10000, entries, block, 0,
                         b'\1' * 16 if parent else bytes(16), 0, 0)
    header += (parent or '').encode('utf-16-be')
    table = b'\xff' * (-(-entries * 4 // 512) * 512)
    return footer + vhd_checksum(header.ljust(1024, b'\0'), 36) + table + footer


def vhd_fixed(size, footer_size=512, **kw):
    return bytes(size) + vhd_footer(size, 2, **kw)[:footer_size]


def cowd(size, parent=b'', grain=1, root=True):
    n = -(-size // (grain * SECTOR * 4096))
    header = struct.pack('<4sIIIIIII', b'COWD', 1, 3 if root else 2, size // SECTOR, grain, 4, n, 8)
    header += struct.pack('<III', 1, 16, 63) if root else parent.ljust(1024, b'\0')
    if root:
        # Not of the layout: QEMU opens nothing without.
        header = header.ljust(512, b'\0') + b'CID=fffffffe\nparentCID=ffffffff\n'
    return header.ljust(2048, b'\0') + bytes(2048)


def vmdk_text(extents, parent=None):
    lines = ['# Disk DescriptorFile', 'version=1', 'CID=fffffffe',
             f'parentCID={"12345678" if parent else "ffffffff"}', 'createType="twoGbMaxExtentSparse"']
    if parent:
        lines.append(f'parentFileNameHint="{parent}"')
    lines += ['', '# Extent description'] + extents + ['', '# The Disk Data Base', '#DDB', '']
    return '\n'.join(lines).encode()


GUID = {
    'metadata': '8b7ca206-4790-4b9a-b8fe-575f050f886e',
    'parameters': 'caa16737-fa36-4d43-b3b6-33f0aa44e76b',
    'size': '2fa54224-cd1b-4876-b211-5dbed83bf4b8',
    'locator': 'a8d35f2d-b30b-454d-abf7-d3d84834ab0c',
    'vhdx-locator': 'b04aefb7-d19e-4a81-b789-25b8e9445913',
}


def guid(name):
    return uuid.UUID(GUID[name]).bytes_le


def vhdx_locator(keys):
    table, strings = b'', b''
    base = 20 + 12 * len(keys)
    for key, value in keys.items():
        k, v = key.encode('utf-16-le'), value.encode('utf-16-le')
        table += struct.pack('<IIHH', base + len(strings), base + len(strings) + len(k), len(k), len(v))
        strings += k + v
    return guid('vhdx-locator') + struct.pack('<HH', 0, len(keys)) + table + strings


def vhdx(size, block=8 << 20, parent_keys=None, first_table=True):
    """Not whole (no log, no headers): what leads to capacity and parent is there."""
    items = [('parameters', struct.pack('<II', block, 2 if parent_keys else 0)),
             ('size', struct.pack('<Q', size))]
    if parent_keys:
        items.append(('locator', vhdx_locator(parent_keys)))
    metadata = struct.pack('<8sHH20x', b'metadata', 0, len(items))
    at, data = 65536, b''
    for name, value in items:
        metadata += guid(name) + struct.pack('<IIII', at + len(data), len(value), 4, 0)
        data += value
    metadata = metadata.ljust(65536, b'\0') + data
    table = struct.pack('<4sIII', b'regi', 0, 1, 0) + guid('metadata')
    table += struct.pack('<QII', 1 << 20, 1 << 20, 1)
    image = bytearray(2 << 20)
    image[:8] = b'vhdxfile'
    if first_table:
        image[192 << 10:(192 << 10) + len(table)] = table
    image[256 << 10:(256 << 10) + len(table)] = table
    image[1 << 20:(1 << 20) + len(metadata)] = metadata
    return bytes(image)


def luks2(json, header_size=16384, payload=1 << 20):
    binary = struct.pack('>6sHQQ48s32s64s40s48sQ', b'LUKS\xba\xbe', 2, header_size, 1, b'', b'sha256', b'',
                         b'0e4f6f0c-2f9e-4a3e-8d4b-3c1b5d5c5b5a', b'', 0)
    return (binary.ljust(4096, b'\0') + json.encode()).ljust(header_size, b'\0') + bytes(payload)


def luks1(cipher=b'aes', mode=b'xts-plain64', hash_=b'sha256', key_bytes=64, payload_sectors=4096,
          size=1 << 20):
    b = struct.pack('>6sH32s32s32sII', b'LUKS\xba\xbe', 1, cipher, mode, hash_, payload_sectors, key_bytes)
    return b.ljust(payload_sectors * SECTOR, b'\0') + bytes(size)
