# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The smallest guest: a boot sector, which QEMU's BIOS loads from the disk under test, and which shows the first sectors
of that disk, one after the other, at the port of QEMU's debug console. Then it copies the last of these over the
second, to see whether it may.
"""

import shutil
import subprocess

SECTOR = 512
# The BIOS boots from no disk that is smaller than a cylinder: 1008 sectors.
SHOWN = 64
QEMU = "qemu-system-x86_64"

# Disk address packet and calls: Enhanced Disk Drive Specification 3.0, INT 13h functions 42h and 43h.
SOURCE = """
        .code16
        .globl _start
_start:
        xorw %ax, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw $0x7c00, %sp
        movb %dl, drive
        cld
next:   movb $0x42, %ah
        call disk
        movw buffer, %si
        movw $512, %cx
        movw $0xe9, %dx
        rep outsb
        incw lba
        cmpw $SECTORS, lba
        jb next
        movw $1, lba
        movw $0x4300, %ax
        call disk
        xorb %al, %al
end:    outb %al, $0xf4
        hlt
disk:   movw $packet, %si
        movb drive, %dl
        int $0x13
        setc %al
        jc end
        ret
packet: .byte 16, 0
        .word 1
buffer: .word 0x8000, 0
lba:    .quad 0
drive:  .byte 0
        .org 510
        .word 0xaa55
"""


def available():
    return shutil.which(QEMU) and shutil.which("as")


def boot_sector(folder):
    """The guest."""
    made, linked = f"{folder}/guest.o", f"{folder}/guest.bin"
    for argv, stdin in ((["as", "--32", "-o", made, "-"], SOURCE.replace("SECTORS", str(SHOWN)).encode()),
                        (["ld", "-melf_i386", "-Ttext=0x7c00", "--oformat=binary", "-o", linked, made], b"")):
        subprocess.run(argv, input=stdin, check=True, timeout=30)
    with open(linked, "rb") as f:
        sector = f.read()
    assert len(sector) == SECTOR
    return sector


def run(folder, blockdev, node, *args, device="virtio-blk-pci"):
    """Boots from the node. What the guest saw, and whether it could also write."""
    shown = f"{folder}/shown"
    done = subprocess.run(
        [QEMU, "-machine", "pc,accel=tcg", "-m", "16", "-nodefaults", "-display", "none", "-no-reboot", *args,
         "-blockdev", blockdev, "-device", f"{device},drive={node},bootindex=0",
         "-chardev", f"file,id=shown,path={shown}", "-device", "isa-debugcon,chardev=shown",
         "-device", "isa-debug-exit,iobase=0xf4"], capture_output=True, text=True, timeout=120, check=False)
    # The exit status is twice the byte that the guest wrote, and one.
    assert done.returncode in (1, 3), done.stderr
    with open(shown, "rb") as f:
        return f.read(), done.returncode == 1
