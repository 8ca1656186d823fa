# SPDX-License-Identifier: LGPL-2.1-or-later
"""What image_probe() says of real images, beside what qemu-img says, and of ones that lie."""

import json
import os
import struct
import subprocess

import image_files as make
import pytest

DRIVER = os.environ['IMAGE_PROBE_DRIVER']
MIB = 1 << 20
SECRET = ['--object', 'secret,id=s,data=password']


def run(*argv):
    env = dict(os.environ, LC_ALL='C', PATH='/usr/sbin:/usr/bin:/sbin:/bin')
    p = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                       env=env)
    assert p.returncode == 0, (argv, p.stderr.decode(errors='replace'))
    return p.stdout


def probe_all(paths):
    """A dict a file of what the driver prints; numbers are ints; 'snapshot' is a list."""
    found = []
    for line in run(DRIVER, *paths).decode().splitlines():
        key, value = line.split('=', 1)
        if key == 'file':
            found.append({'snapshot': []})
        elif key == 'snapshot':
            found[-1]['snapshot'].append(value.split('/'))
        else:
            found[-1][key] = int(value) if value.isdigit() else value
    assert len(found) == len(paths)
    return found


def probe(path):
    return probe_all([path])[0]


def write(path, content):
    path.write_bytes(content)
    return path


def put(path, at, content):
    with open(path, 'r+b') as f:
        f.seek(at)
        f.write(content)
    return path


def be32(v):
    return struct.pack('>I', v)


def be64(v):
    return struct.pack('>Q', v)


def create(path, fmt, *args):
    *options, size = args
    run('qemu-img', 'create', '-q', '-f', fmt, *options, path, size)
    return path


def qemu_info(path, fmt=None):
    return json.loads(run('qemu-img', 'info', '--output=json', *(['-f', fmt] if fmt else []), path))


def assert_as_qemu(path, fmt=None, name=None, cluster_size=True):
    """Compares all that both know. name: ours, where it is another than QEMU's."""
    ours, theirs = probe(path), qemu_info(path, fmt)
    assert ours['format'] == (name or theirs['format'])
    assert ours['capacity'] == theirs['virtual-size']
    if cluster_size:
        assert ours.get('cluster-size') == theirs.get('cluster-size')
    assert ours.get('backing-path') == theirs.get('backing-filename')
    assert ours.get('backing-format') == theirs.get('backing-filename-format')
    assert bool(ours.get('encryption')) == theirs.get('encrypted', False)
    assert bool(ours.get('dirty')) == theirs.get('dirty-flag', False)
    special = theirs.get('format-specific', {}).get('data', {})
    if theirs['format'] == 'qcow2':
        assert ours['compat'] == special['compat']
        for key in ('lazy-refcounts', 'extended-l2', 'corrupt'):
            assert bool(ours.get(key)) == special.get(key, False), key
        assert ours.get('data-file') == special.get('data-file')
        assert_snapshots(ours['snapshot'], theirs.get('snapshots', []))
    assert 'problem' not in ours
    return ours


def assert_snapshots(ours, theirs):
    assert ours == [[s['id'], s['name'], str(s['vm-state-size']),
                     str(s['date-sec'] * 1000000 + s['date-nsec'] // 1000)] for s in theirs]


CREATED = [
    ('raw', ['3M']),
    ('qcow2', ['10M']),
    ('qcow2', ['0']),
    ('qcow2', ['-o', 'compat=0.10', '10M']),
    ('qcow2', ['-o', 'cluster_size=512', '100M']),
    ('qcow2', ['-o', 'cluster_size=2M', '1T']),
    ('qcow2', ['-o', 'lazy_refcounts=on', '10M']),
    ('qcow2', ['-o', 'extended_l2=on,cluster_size=128k', '3G']),
    ('qcow2', ['-o', 'preallocation=metadata', '64M']),
    ('qcow2', ['-o', 'compression_type=zstd', '64M']),
    ('qcow2', ['-o', 'encrypt.format=aes,encrypt.key-secret=s', *SECRET, '10M']),
    ('qcow2', ['-u', '-b', 'some/where.raw', '-F', 'raw', '10M']),
    ('qcow2', ['-u', '-o', 'compat=0.10', '-b', '/abs.qcow2', '-F', 'qcow2', '10M']),
    ('qcow2', ['-u', '-b', 'b' * 1023, '-F', 'raw', '10M']),
    ('qcow', ['10M']),
    ('qcow', ['-o', 'encrypt.format=aes,encrypt.key-secret=s', *SECRET, '10M']),
    ('qed', ['10M']),
    ('qed', ['-o', 'cluster_size=8192,table_size=2', '10M']),
    ('qed', ['-u', '-b', 'some/where.raw', '-F', 'raw', '10M']),
    ('vdi', ['10M']),
    ('vdi', ['1000']),
    ('vdi', ['-o', 'static=on', '3M']),
    ('vpc', ['10M']),
    ('vpc', ['200G']),
    ('vpc', ['-o', 'force_size=on', '10M']),
    ('vhdx', ['10M']),
    ('vhdx', ['-o', 'block_size=1M', '4G']),
    ('vhdx', ['-o', 'subformat=fixed', '10M']),
    ('vmdk', ['3G']),
    ('vmdk', ['-o', 'subformat=monolithicFlat', '3G']),
    ('vmdk', ['-o', 'subformat=twoGbMaxExtentFlat', '3G']),
    ('vmdk', ['-o', 'subformat=twoGbMaxExtentSparse', '3G']),
    ('vmdk', ['-o', 'subformat=streamOptimized', '3G']),
]


@pytest.mark.parametrize('fmt,args', CREATED, ids=lambda a: a if isinstance(a, str) else ' '.join(a)[:60])
def test_created_by_qemu(tmp_path, fmt, args):
    path = create(tmp_path / 'image', fmt, *args)
    # QEMU tells the grain of the first extent for a descriptor too, which would take opening another file.
    ours = assert_as_qemu(path, cluster_size='subformat=twoGbMaxExtentSparse' not in args)
    assert ours['plain-raw'] == (fmt == 'raw')


def test_ploop_created_by_qemu(tmp_path):
    path = create(tmp_path / 'image', 'parallels', '10M')
    assert_as_qemu(path, name='ploop', cluster_size=False)
    assert probe(path)['cluster-size'] == MIB


def test_vmdk_parent_by_qemu(tmp_path):
    create(tmp_path / 'base.vmdk', 'vmdk', '3G')
    path = create(tmp_path / 'top.vmdk', 'vmdk', '-b', 'base.vmdk', '-F', 'vmdk', '3G')
    assert assert_as_qemu(path)['backing-path'] == 'base.vmdk'


def test_qcow_backing_has_no_format(tmp_path):
    create(tmp_path / 'base', 'raw', '3M')
    path = create(tmp_path / 'top', 'qcow', '-b', 'base', '-F', 'raw', '3M')
    assert assert_as_qemu(path)['backing-path'] == 'base'


def test_vmdk_streamed(tmp_path):
    """As a program leaves it that writes in one go: what was not known at first is in the footer."""
    path = create(tmp_path / 'image', 'vmdk', '-o', 'subformat=streamOptimized', '3M')
    content = path.read_bytes()
    header = content[:512]
    content += struct.pack('<QII', 1, 0, 3).ljust(512, b'\0') + header + bytes(512)
    put(write(path, content), 56, b'\xff' * 8)
    assert assert_as_qemu(path)['capacity'] == 3 * MIB
    put(path, 12, struct.pack('<Q', 1))
    assert probe(path)['capacity'] == 3 * MIB
    os.truncate(path, len(content) - 512)
    assert 'cut off' in probe(path)['problem']


def test_external_data_file(tmp_path):
    path = create(tmp_path / 'image', 'qcow2', '-o', f'data_file={tmp_path}/data', '10M')
    assert assert_as_qemu(path)['external-data'] == 1


def test_dirty_and_corrupt(tmp_path):
    path = create(tmp_path / 'image', 'qcow2', '10M')
    put(path, 72, be64(3))
    assert (probe(path)['dirty'], probe(path)['corrupt']) == (1, 1)
    path = create(tmp_path / 'qed', 'qed', '10M')
    put(path, 16, struct.pack('<Q', 2))
    assert probe(path)['dirty'] == 1


def test_snapshots(tmp_path):
    path = create(tmp_path / 'image', 'qcow2', '10M')
    for i in range(40):
        run('qemu-img', 'snapshot', '-c', f'snapshot {i} – ü', path)
    assert len(assert_as_qemu(path)['snapshot']) == 40


LUKS_KEYS = ('encryption', 'cipher-name', 'cipher-size', 'cipher-mode', 'cipher-hash', 'ivgen-name',
             'ivgen-hash')


@pytest.mark.parametrize('fmt,options,expected', [
    ('luks', 'key-secret=s,iter-time=100', ['luks', 'aes', 256, 'xts', 'sha256', 'plain64', None]),
    ('qcow2', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=100,'
     'encrypt.cipher-alg=serpent-256,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,'
     'encrypt.ivgen-hash-alg=sha256,encrypt.hash-alg=sha1',
     ['luks', 'serpent', 256, 'cbc', 'sha1', 'essiv', 'sha256'])])
def test_luks_by_qemu(tmp_path, fmt, options, expected):
    path = create_luks(tmp_path / 'image', fmt, '-o', options, *SECRET, '10M')
    ours = assert_as_qemu(path)
    assert [ours.get(k) for k in LUKS_KEYS] == expected


def create_luks(path, *args):
    """QEMU measures the machine first, and gives up when that is too busy."""
    for last in (False, False, False, True):
        try:
            return create(path, *args)
        except AssertionError as e:
            if last or 'accurate CPU usage' not in str(e):
                raise


LUKS2_JSON = ('{"keyslots":{"0":{"type":"luks2","key_size":64,"af":{"type":"luks1","stripes":4000,'
              '"hash":"sha512"}}},"segments":{"0":{"type":"crypt","offset":"%s","size":"dynamic",'
              '"encryption":"%s","sector_size":512}}}')


def test_luks_written(tmp_path):
    d = probe(write(tmp_path / 'one', make.luks1(mode=b'cbc-essiv:sha256', key_bytes=32, size=3 * MIB)))
    assert (d['format'], d['capacity'], d['encryption']) == ('luks', 3 * MIB, 'luks')
    assert (d['cipher-size'], d['cipher-mode'], d['ivgen-hash']) == (256, 'cbc', 'sha256')
    two = make.luks2(LUKS2_JSON % (16384, 'serpent-xts-plain64'), payload=3 * MIB)
    d = probe(write(tmp_path / 'two', two))
    assert (d['format'], d['capacity'], d['encryption']) == ('luks', 3 * MIB, 'luks2')
    assert (d['cipher-name'], d['cipher-size'], d['cipher-mode']) == ('serpent', 256, 'xts')
    assert (d['cipher-hash'], d['ivgen-name']) == ('sha512', 'plain64')
    assert 'problem' not in d


@pytest.mark.parametrize('text', [
    '', '{', '[]', '{}', '{"segments":[]}', '{"segments":{"0":1}}', '{"segments":{"0":{"offset":"x"}}}',
    LUKS2_JSON % ('99999999999999999999', 'aes-xts-plain64'), LUKS2_JSON % ('9' * 15, 'aes-xts-plain64'),
    '[' * 3000, 'x' * 12287, LUKS2_JSON % ('-1', 'a'),
])
def test_luks2_that_lies(tmp_path, text):
    d = probe(write(tmp_path / 'image', make.luks2(text)))
    assert (d['format'], d['encryption']) == ('luks', 'luks2')
    assert d['problem']


def test_iso(tmp_path):
    tree = tmp_path / 'tree'
    tree.mkdir()
    write(tree / 'file', os.urandom(5000))
    path = tmp_path / 'image'
    run('xorriso', '-as', 'mkisofs', '-quiet', '-V', 'TEST', '-o', path, tree)
    d = probe(path)
    assert (d['format'], d['capacity']) == ('iso', os.path.getsize(path))
    assert 'problem' not in d
    os.truncate(path, os.path.getsize(path) - 2048 * 100)
    assert 'cut off' in probe(path)['problem']
    # Not of whole sectors: only its name leads to a look.
    with open(path, 'ab') as f:
        f.write(b'\0')
    assert probe(path)['format'] == 'raw'
    path = path.rename(tmp_path / 'image.ISO')
    assert probe(path)['format'] == 'iso'


@pytest.mark.parametrize('bits', [12, 16, 32])
def test_fat(tmp_path, bits):
    path = tmp_path / 'image'
    run('mkfs.fat', '-C', '-F', bits, path, {12: 1440, 16: 40960, 32: 102400}[bits])
    d = probe(path)
    assert (d['format'], d['capacity']) == ('fat', os.path.getsize(path))
    assert 'problem' not in d
    os.truncate(path, os.path.getsize(path) // 2)
    assert 'cut off' in probe(path)['problem']


def test_raw_stays_raw(tmp_path):
    for i, content in enumerate((b'', b'\0', b'QFI', b'KDM', b'\0' * 510 + b'\x55\xaa', bytes(511),
                                 bytes(512), b'\xff' * 40960,
                                 b'\xeb\x63\x90' + bytes(507) + b'\x55\xaa' + bytes(MIB))):
        d = probe(write(tmp_path / f'image{i}.dmg', content))
        assert (d['format'], d['capacity']) == ('raw', len(content))
        assert 'problem' not in d


def test_plain_raw_needs_no_second_look(tmp_path):
    path = write(tmp_path / 'hole', b'')
    os.truncate(path, 64 * MIB)
    assert probe(path)['plain-raw'] == 1
    assert probe(write(tmp_path / 'odd', b'x' * 100001))['plain-raw'] == 1
    assert probe(write(tmp_path / 'full', b'x' * MIB))['plain-raw'] == 0
    assert probe(path.rename(tmp_path / 'hole.iso'))['plain-raw'] == 0
    assert probe((tmp_path / 'hole.iso').rename(tmp_path / 'hole.vhd'))['plain-raw'] == 0


@pytest.mark.parametrize('version', [1, 2])
def test_bochs(tmp_path, version):
    assert_as_qemu(write(tmp_path / 'image', make.bochs(3 * MIB, version)), cluster_size=False)


def test_cloop(tmp_path):
    assert_as_qemu(write(tmp_path / 'image', make.cloop(65536, 7)), 'cloop')


def test_cow(tmp_path):
    d = probe(write(tmp_path / 'image', make.cow(3 * MIB, b'base.img')))
    assert (d['format'], d['capacity'], d['backing-path']) == ('cow', 3 * MIB, 'base.img')
    assert 'backing-path' not in probe(write(tmp_path / 'alone', make.cow(3 * MIB)))


def test_dmg(tmp_path):
    d = probe(write(tmp_path / 'image.dmg', make.dmg(3 * MIB)))
    assert (d['format'], d['capacity']) == ('dmg', 3 * MIB)
    assert 'problem' not in d
    # Without the suffix, a length of a trailer over 4096.
    content = make.dmg(3 * MIB, b'')
    content = content[:-512].ljust(4096, b'\0') + content[-512:]
    assert probe(write(tmp_path / 'image', content))['format'] == 'dmg'


@pytest.mark.parametrize('magic', [b'WithoutFreeSpace', b'WithouFreSpacExt'])
def test_ploop(tmp_path, magic):
    path = write(tmp_path / 'image', make.ploop(10 * MIB, magic))
    assert_as_qemu(path, name='ploop', cluster_size=False)
    # The old magic has 32 bits of size; what follows is something else.
    put(path, 40, struct.pack('<I', 1))
    assert (probe(path)['capacity'] == 10 * MIB) == (magic == b'WithoutFreeSpace')
    assert probe(write(path, make.ploop(10 * MIB, magic, in_use=0x746f6e59)))['dirty'] == 1


CREATORS = [b'vpc ', b'qemu', b'qem2', b'win ', b'd2v ', b'tap\0', b'CTXS', b'wa\0\0', b'vbox', b'xyz ']


@pytest.mark.parametrize('creator', CREATORS)
@pytest.mark.parametrize('chs', [None, (65535, 16, 255), (1000, 16, 63)])
@pytest.mark.parametrize('kind', ['fixed', 'dynamic'])
def test_vhd_creators(tmp_path, creator, chs, kind):
    content = make.vhd_fixed(3 * MIB, creator=creator, chs=chs) if kind == 'fixed' else \
        make.vhd_dynamic(3 * MIB, creator=creator, chs=chs, block=512 * MIB)
    path = write(tmp_path / 'image', content)
    ours = probe(path)
    assert ours['format'] == 'vpc'
    # QEMU knows Azure's images as such only since version 10.
    if creator == b'wa\0\0':
        assert ours['capacity'] == 3 * MIB
    else:
        assert ours['capacity'] == qemu_info(path, 'vpc')['virtual-size']
    # A geometry for more than there is: the file is said to be short, whatever the capacity.
    assert ('problem' in ours) == (kind == 'fixed' and ours['capacity'] > 3 * MIB)


def test_vhd_beyond_the_largest_geometry(tmp_path):
    path = write(tmp_path / 'image', make.vhd_fixed(3 * MIB, creator=b'vpc ', chs=(65535, 17, 255)))
    assert probe(path)['capacity'] == qemu_info(path, 'vpc')['virtual-size'] == 65535 * 17 * 255 * 512


def test_vhd_old_footer(tmp_path):
    d = probe(write(tmp_path / 'image', make.vhd_fixed(4 * MIB, 511, creator=b'win ')))
    assert (d['format'], d['capacity']) == ('vpc', 4 * MIB)
    assert 'problem' not in d


def test_vhd_differencing(tmp_path):
    d = probe(write(tmp_path / 'image', make.vhd_dynamic(4 * MIB, 'pärent 𝄞.vhd', creator=b'win ')))
    assert (d['backing-path'], d['backing-format']) == ('pärent 𝄞.vhd', 'vpc')
    assert (d['capacity'], d['cluster-size'], d.get('problem')) == (4 * MIB, 2 * MIB, None)
    d = probe(write(tmp_path / 'image', make.vhd_dynamic(4 * MIB, 'C:\\parent.vhd', creator=b'win ')))
    assert d['backing-json'] == 1


def test_vhd_that_lies(tmp_path):
    whole = make.vhd_dynamic(4 * MIB, creator=b'win ')
    for at, value in ((64, be32(1)), (16, be64(1 << 40)), (60, be32(9)), (48, be64(1 << 63))):
        d = probe(put(write(tmp_path / 'image', whole), at, value))
        assert d['format'] == 'vpc' and d['problem'], at


def test_vhdx_differencing(tmp_path):
    keys = {'parent_linkage': '{x}', 'absolute_win32_path': 'C:\\x\\p.vhdx', 'relative_path': '.\\p.vhdx'}
    d = probe(write(tmp_path / 'image', make.vhdx(3 * MIB, parent_keys=keys)))
    assert (d['capacity'], d['cluster-size'], d.get('problem')) == (3 * MIB, 8 * MIB, None)
    assert (d['backing-path'], d['backing-format']) == ('.\\p.vhdx', 'vhdx')
    d = probe(write(tmp_path / 'image', make.vhdx(3 * MIB, parent_keys={'parent_linkage': '{x}'})))
    assert 'names no parent' in d['problem']


def test_vhdx_second_table(tmp_path):
    d = probe(write(tmp_path / 'image', make.vhdx(3 * MIB, first_table=False)))
    assert (d['capacity'], d.get('problem')) == (3 * MIB, None)
    path = put(tmp_path / 'image', 256 << 10, b'xxxx')
    assert 'region table' in probe(path)['problem']


def test_vmdk_cowd(tmp_path):
    path = write(tmp_path / 'image', make.cowd(3 * MIB, grain=16))
    assert_as_qemu(path)
    d = probe(write(path, make.cowd(3 * MIB, b'parent.vmdk', root=False)))
    assert (d['backing-path'], d['backing-format']) == ('parent.vmdk', 'vmdk')


def test_vmdk_text(tmp_path):
    extents = ['RW 4192256 SPARSE "a-s001.vmdk"', 'RDONLY\t2048 FLAT "a-f002.vmdk" 0', 'NOACCESS 2048 ZERO']
    d = probe(write(tmp_path / 'image', make.vmdk_text(extents, 'parent "x.vmdk')))
    assert (d['format'], d['capacity']) == ('vmdk', (4192256 + 4096) * 512)
    assert d['backing-path'] == 'parent '
    # Longer than what is read at first.
    extents = [f'RW 4192256 SPARSE "a-s{i:03}.vmdk"' for i in range(500)]
    d = probe(write(tmp_path / 'long', make.vmdk_text(extents)))
    assert (d['capacity'], d.get('problem')) == (4192256 * 512 * 500, None)
    for bad in ([], ['RW x SPARSE "a"'], ['RW -1 SPARSE "a"'], ['RW 18446744073709551616 SPARSE "a"'],
                ['RW 18446744073709551615 SPARSE "a"'] * 2):
        assert probe(write(tmp_path / 'bad', make.vmdk_text(bad)))['problem']


@pytest.mark.parametrize('backing,flagged', [
    ('json:{"driver":"raw"}', True), ('nbd:localhost:1', True), ('nbd://host/x', True), ('./a:b', False),
    ('a/b:c', False), ('plain', False)])
def test_protocol_names_are_flagged(tmp_path, backing, flagged):
    path = create(tmp_path / 'image', 'qcow2', '-u', '-b', backing, '-F', 'raw', '10M')
    d = probe(path)
    assert (d['backing-path'], bool(d.get('backing-json'))) == (backing, flagged)


def test_names_become_valid_utf8(tmp_path):
    path = create(tmp_path / 'image', 'qcow2', '-u', '-b', 'abcdef', '-F', 'raw', '10M')
    data = path.read_bytes()
    put(path, data.index(b'abcdef'), b'a\xff\nd\xc3\xa4')
    assert probe(path)['backing-path'] == 'a\ufffd?dä'


QCOW2_LIES = {
    'version': (4, be32(4)),
    'backing size': (16, be32(1024)),
    'backing offset': (8, be64(65534)),
    'backing far away': (8, be64(1 << 63)),
    'cluster bits': (20, be32(8)),
    'cluster bits 64': (20, be32(64)),
    'size': (24, be64(1 << 63)),
    'size beyond L1': (24, be64(1 << 50)),
    'encryption': (32, be32(3)),
    'LUKS without header': (32, be32(2)),
    'L1 entries': (36, be32(0xffffffff)),
    'L1 entries 0': (36, be32(0)),
    'L1 offset': (40, be64(1 << 62)),
    'L1 unaligned': (40, be64(513)),
    'refcount offset': (48, be64(1 << 40)),
    'refcount clusters': (56, be32(0xffffffff)),
    'no refcounts': (56, be32(0)),
    'snapshots': (60, be32(0xffffffff)),
    'snapshots beyond': (60, be32(65536)),
    'features': (72, be64(1 << 40)),
    'header length': (100, be32(0xffffffff)),
    'short header': (100, be32(8)),
    'extension': (116, be32(0xfffffff0)),
    'extension beyond the header': (116, be32(500)),
}


@pytest.mark.parametrize('name', QCOW2_LIES)
def test_qcow2_that_lies(tmp_path, name):
    path = create(tmp_path / 'image', 'qcow2', '-u', '-b', 'base', '-F', 'raw', '10M')
    put(path, *QCOW2_LIES[name])
    d = probe(path)
    assert d['format'] == 'qcow2' and d['problem']
    assert 'does not fit' in d['problem'] or not name.startswith('extension')


# A data file whose name is hidden from who does not read all that QEMU reads: it must be seen that there is
# one, whatever else is wrong.
def hidden_data_file(path, way):
    content = bytearray(path.read_bytes())
    length, = struct.unpack('>I', content[100:104])
    extensions = bytes(content[length:length + 2048])
    if way == 'long header':
        content[100:104] = be32(8192)
        content[length:8192] = bytes(8192 - length)
        length = 8192
    elif way == 'many extensions':
        extensions = (be32(0x12345678) + be32(0)) * 70 + extensions
    elif way == 'header too long':
        content[100:104] = be32(65537)
    elif way == 'no name':
        extensions = bytes(2048)
    content[length:length + len(extensions)] = extensions
    path.write_bytes(content)
    return path


@pytest.mark.parametrize('way', ['long header', 'many extensions', 'header too long', 'no name'])
def test_a_data_file_cannot_be_hidden(tmp_path, way):
    path = create(tmp_path / 'image', 'qcow2', '-o', f'data_file={tmp_path}/data', '10M')
    d = probe(hidden_data_file(path, way))
    assert d['external-data'] == 1
    if way == 'long header':
        assert d['data-file'] == f'{tmp_path}/data' and d['capacity'] == 10 * MIB and 'problem' not in d
    else:
        assert d['data-file'] == '(not named)' and ('problem' in d) == (way != 'no name')


def le32(v):
    return struct.pack('<I', v)


def le64(v):
    return struct.pack('<Q', v)


OTHER_LIES = {
    'qcow': [(24, be64(1 << 63)), (32, b'\x08'), (32, b'\x11'), (33, b'\x05'), (33, b'\x0e'), (36, be32(2)),
             (40, be64(1 << 40)), (24, be64(1 << 50)), (8, be64(3 << 20) + be32(9)),
             (8, be64(48) + be32(1024))],
    'qed': [(4, le32(0)), (4, le32(4097)), (4, le32(1 << 31)), (8, le32(0)), (8, le32(3)), (8, le32(32)),
            (40, le64(1 << 40)), (48, le64(1 << 63)), (16, le64(1) + bytes(32) + le32(4) + le32(4000)),
            (16, le64(1) + bytes(32) + le32(1 << 31) + le32(4))],
    'vdi': [(68, le32(1)), (340, le32(1 << 31)), (368, le64(1 << 63)), (376, le32(0)), (376, le32(1000)),
            (384, le32(1))],
    'vmdk': [(4, le32(4)), (12, le64(1 << 60)), (20, le64(0)), (20, le64(3)), (28, le64(1 << 50)),
             (36, le64(1 << 50)), (56, le64(1 << 50)), (73, b'\n\n')],
    'parallels': [(16, le32(1)), (28, le32(0)), (28, le32(0xffffffff)), (32, le32(1)),
                  (32, le32(0xffffffff)), (36, le64(1 << 60))],
    'cowd': [(16, le32(0)), (20, le32(1 << 20))],
    'bochs': [(64, le32(0x30000)), (32, b'X'), (72, le32(1 << 30)), (88, le64(1 << 63))],
    'cloop': [(128, be32(0)), (128, be32(1000)), (128, be32(1 << 31)), (132, be32(1 << 31))],
    'cow': [(1036, be64(1 << 63))],
    'luks': [(6, b'\0\3'), (104, be32(1 << 31))],
    'luks2': [(8, be64(0)), (8, be64(20000)), (8, be64(8192)), (8, be64(1 << 62)), (8, be64(1 << 22))],
    'vhdxdiff': [(MIB, b'x'), (MIB + 10, b'\xff\xff'), (MIB + 10, b'\1\0'), (MIB + 48, le32(1 << 31)),
                 (MIB + 65536, le32(0)), (MIB + 65536, le32(3 << 20)), (MIB + 65544, le64(1 << 63)),
                 (MIB + 65552 + 18, b'\0\0'), (MIB + 65552 + 24, le32(1 << 30))],
}


@pytest.mark.parametrize('name', OTHER_LIES)
def test_others_that_lie(tmp_path, name):
    whole = next(p for p in whole_images(tmp_path) if p.name == name)
    content, known = whole.read_bytes(), probe(whole)
    assert 'problem' not in known
    for at, value in OTHER_LIES[name]:
        d = probe(put(write(whole, content), at, value))
        assert d['format'] == known['format'] and 'problem' in d, (at, value)


def test_utf16_that_is_none(tmp_path):
    content = make.vhd_dynamic(4 * MIB, 'ab', creator=b'win ')
    path = write(tmp_path / 'image', content)
    put(path, 512 + 64, b'\xd8\x00\x00a\xdc\x00\x00\n')
    assert probe(path)['backing-path'] == '\ufffda\ufffd?'


def test_qcow2_snapshots_that_lie(tmp_path):
    path = create(tmp_path / 'image', 'qcow2', '10M')
    run('qemu-img', 'snapshot', '-c', 'one', path)
    table = struct.unpack('>Q', path.read_bytes()[64:72])[0]
    assert probe(path)['snapshots'] == 1
    os.truncate(path, 4 * MIB)
    for at, value in ((60, be32(65536)), (64, be64(1 << 60)), (table + 36, be32(0xffffffff)),
                      (table + 36, be32(1025)), (table + 36, be32(MIB))):
        kept = path.read_bytes()
        d = probe(put(path, at, value))
        assert d['format'] == 'qcow2' and d['problem'], at
        path.write_bytes(kept)
    os.truncate(path, table + 50)
    assert 'beyond the end' in probe(path)['problem']


def snapshot_entry(id_, name, state_size, extra=b''):
    head = struct.pack('>QIHHIIQII', 0, 0, len(id_), len(name), 1600000000, 5000, 0, state_size, len(extra))
    entry = head + extra + id_ + name
    return entry + bytes(-len(entry) % 8)


def test_snapshots_with_state(tmp_path):
    """A state of more than 32 bits' size is in the extra data, which may have more to it or be short."""
    path = create(tmp_path / 'image', 'qcow2', '10M')
    table = snapshot_entry(b'1', b'old', 4096) + snapshot_entry(b'2', b'new', 0, be64(5 << 32) + be64(0)) + \
        snapshot_entry(b'3', b'a\xff\0b', 7, bytes(4)) + snapshot_entry(b'', b'', 8, be64(9) + bytes(1000))
    put(path, MIB, table)
    put(path, 60, be32(4) + be64(MIB))
    time = '1600000000000005'
    d = probe(path)
    assert d['snapshot'] == [['1', 'old', '4096', time], ['2', 'new', str(5 << 32), time],
                             ['3', 'a\ufffd', '7', time], ['', '', '9', time]]
    assert 'problem' not in d


def test_more_snapshots_than_are_listed(tmp_path):
    path = create(tmp_path / 'image', 'qcow2', '10M')
    put(path, MIB, snapshot_entry(b'1', b'a', 0) * 5000)
    put(path, 60, be32(5000) + be64(MIB))
    d = probe(path)
    assert d['snapshots'] == 4096
    assert '5000' in d['problem']


# Those that show themselves by the last 512 bytes.
BY_TAIL = ('dmg', 'vhd')


def whole_images(folder):
    """One of each format, small."""
    for fmt in ('qcow2', 'qcow', 'qed', 'vdi', 'vpc', 'vhdx', 'vmdk', 'parallels'):
        yield create(folder / fmt, fmt, '3M')
    for name, content in (('bochs', make.bochs(MIB)), ('cloop', make.cloop(65536, 7)),
                          ('cow', make.cow(MIB)),
                          ('dmg.dmg', make.dmg(MIB)), ('cowd', make.cowd(MIB)),
                          ('luks', make.luks1()),
                          ('luks2', make.luks2(LUKS2_JSON % (16384, 'aes-xts-plain64'))),
                          ('vhd', make.vhd_fixed(MIB, creator=b'win ')),
                          ('vmdktext', make.vmdk_text(['RW 2048 FLAT "x" 0'])),
                          ('vhdxdiff', make.vhdx(MIB, parent_keys={'relative_path': 'p'}))):
        yield write(folder / name, content)


def test_cut_off_anywhere(tmp_path):
    """No length makes it fail, and one that has the magic keeps the format."""
    paths = []
    for whole in list(whole_images(tmp_path)):
        content = whole.read_bytes()
        fmt = probe(whole)['format']
        for n in (0, 1, 4, 8, 9, 63, 68, 72, 100, 104, 127, 400, 511, 512, 513, 1000, 4095, 4096, 4097,
                  65536, len(content) - 1):
            path = write(tmp_path / f'{whole.stem}-{fmt}-{n}', content[:n])
            paths.append((path, fmt, n))
    for (path, fmt, n), d in zip(paths, probe_all([p for p, _, _ in paths])):
        by_tail = path.name.split('-')[0] in BY_TAIL
        assert d['format'] == fmt or n < 72 or by_tail, path.name
        assert d['format'] != fmt or n > 40 or 'problem' in d, path.name


def test_bytes_overwritten_anywhere(tmp_path):
    """Every word of the header (or of the footer) in turn becomes 0, the largest, and a large one."""
    for whole in list(whole_images(tmp_path)):
        content = whole.read_bytes()[:2 * MIB]
        begin = len(content) - 512 if whole.stem in BY_TAIL else 0
        paths = []
        for at in range(begin + (0 if begin else 4), begin + 512, 4):
            for i, value in enumerate((b'\0\0\0\0', b'\xff\xff\xff\xff', b'\x7f\xff\xff\xff')):
                path = tmp_path / f'lie-{i}-{at}.dmg'
                with open(path, 'wb') as f:
                    f.write(content[:4096])
                    f.truncate(len(content))
                    f.seek(begin)
                    f.write(content[begin:begin + 4096])
                    f.seek(at)
                    f.write(value)
                paths.append(path)
        formats = [d['format'] for d in probe_all(paths)]
        # But for the magic itself, of 128 bytes at most.
        assert formats.count(probe(whole)['format']) >= len(paths) - 3 * 32, whole.name
        for path in paths:
            path.unlink()
