#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the corpus of fuzz-image anew: a small image of each format, as that program's recipe."""

import pathlib
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / 'unit'))

import image_files as make  # noqa: E402

SECTOR = 512
FLAG_ISO, FLAG_DMG, FLAG_HEAD_ONLY, FLAG_ALLOCATED = 1, 2, 4, 8
MIB = 1 << 20
RUN_MAX = 8192
RECIPE_MAX = 20000
SECRET = ['--object', 'secret,id=s,data=x']
LUKS2 = ('{"keyslots":{"0":{"key_size":64,"af":{"hash":"sha256"}}},"segments":{"0":{"offset":"16384",'
         '"encryption":"aes-cbc-essiv:sha256"}}}')

BY_QEMU = {
    'qcow2': ['qcow2', '-o', 'cluster_size=4096', '10M'],
    'qcow2-backing': ['qcow2', '-o', 'cluster_size=4096', '-u', '-b', 'json:{}', '-F', 'raw', '10M'],
    'qcow2-old': ['qcow2', '-o', 'cluster_size=512,compat=0.10', '1M'],
    'qcow2-luks': ['qcow2', '-o', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=100', *SECRET,
                   '1M'],
    'qcow': ['qcow', '10M'],
    'qed': ['qed', '-o', 'cluster_size=4096', '-u', '-b', 'base', '-F', 'raw', '10M'],
    'vdi': ['vdi', '10M'],
    'vpc': ['vpc', '10M'],
    'vhdx': ['vhdx', '10M'],
    'vmdk': ['vmdk', '10M'],
    'vmdk-stream': ['vmdk', '-o', 'subformat=streamOptimized', '10M'],
    'ploop': ['parallels', '10M'],
}


def written():
    yield 'bochs', make.bochs(MIB), 0
    yield 'bochs-1', make.bochs(MIB, 1), 0
    yield 'cloop', make.cloop(65536, 7), 0
    yield 'cow', make.cow(MIB, b'base'), 0
    yield 'dmg', make.dmg(MIB), FLAG_DMG
    yield 'cowd', make.cowd(MIB, b'base', root=False), 0
    yield 'luks', make.luks1(), 0
    yield 'luks2', make.luks2(LUKS2), 0
    yield 'vhd-fixed', make.vhd_fixed(MIB), 0
    yield 'vhd-parent', make.vhd_dynamic(MIB, 'parent.vhd'), 0
    yield 'vmdk-text', make.vmdk_text(['RW 2048 FLAT "x" 0'], 'base'), 0
    yield 'vhdx-parent', make.vhdx(MIB, parent_keys={'relative_path': 'parent'}), 0
    iso = bytearray(65536)
    iso[32768:32774] = b'\x01CD001'
    yield 'iso', bytes(iso), FLAG_ISO
    fat = bytearray(1 << 16)
    fat[:62] = struct.pack('<3s8sHBHBHHBHHHIIBBBI11s8s', b'\xeb\x3c\x90', b'mkfs.fat', 512, 4, 1, 2, 512,
                           128, 0xf8, 1, 32, 64, 0, 0, 0x80, 0, 0x29, 1, b'NO NAME    ', b'FAT16   ')
    fat[510:512] = b'\x55\xaa'
    yield 'fat', bytes(fat), FLAG_ALLOCATED
    vdi = bytearray(4096)
    struct.pack_into('<4sI', vdi, 64, b'\x7f\x10\xda\xbe', 0x10001)
    struct.pack_into('<QI', vdi, 368, (1 << 63) - 1, MIB)
    yield 'vdi-largest', bytes(vdi), 0
    yield 'head-only', make.vmdk_text(['RW 2048 FLAT "x" 0'] * 500), FLAG_HEAD_ONLY


def by_qemu(folder):
    for name, (fmt, *options, size) in BY_QEMU.items():
        path = f'{folder}/{name}'
        subprocess.run(['qemu-img', 'create', '-q', '-f', fmt, *options, path, size], check=True)
        if name == 'qcow2':
            for i in range(3):
                subprocess.run(['qemu-img', 'snapshot', '-c', f's{i}', path], check=True)
        yield name, pathlib.Path(path).read_bytes(), 0


def recipe(content, flags):
    pieces, run, left = [], None, RECIPE_MAX
    for sector in range(0, -(-len(content) // SECTOR)):
        data = content[sector * SECTOR:(sector + 1) * SECTOR]
        if not any(data):
            run = None
            continue
        # What fills clusters (reference counts, key material) is of no interest beyond its begin.
        if len(data) > left or (run is not None and len(pieces[run][1]) >= RUN_MAX):
            continue
        if run is None:
            run = len(pieces)
            pieces.append((sector, bytearray()))
        pieces[run][1].extend(data)
        left -= len(data)
    return struct.pack('<IB', len(content), flags) + b''.join(
        struct.pack('<IH', sector, len(data)) + data for sector, data in pieces)


def main():
    folder = HERE / 'corpus-image'
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, content, flags in [*written(), *by_qemu(scratch)]:
            (folder / name).write_bytes(recipe(content, flags))


main()
