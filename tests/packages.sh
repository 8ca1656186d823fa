# SPDX-License-Identifier: LGPL-2.1-or-later
# The Debian packages that building, running and testing take: sourced by tests/tour and tests/all, which are
# run as root. install_packages build|test

build_packages="gcc meson ninja-build pkg-config libc6-dev libsystemd-dev libxml2-dev libbsd-dev libjson-c-dev
        libblockdev-dev libblockdev-utils-dev libblockdev-lvm-dev libblockdev-fs-dev libblockdev-part-dev
        libblockdev-mdraid-dev libparted-dev libmount-dev libblkid-dev libudev-dev libgcrypt20-dev libdevmapper-dev
        libblockdev-lvm2 libblockdev-fs2 libblockdev-part2 libblockdev-mdraid2 lvm2 mdadm
        dbus dbus-daemon systemd qemu-utils python3"

# What the tests need besides: real partners (polkit, qemu-img, mkfs), libvirt's schemas, the virtual machine's host side.
test_packages="clang libclang-rt-14-dev python3-pytest python3-gi polkitd libpolkit-gobject-1-dev libglib2.0-bin
        libvirt0 libxml2-utils xorriso bindfs btrfs-progs dosfstools e2fsprogs xfsprogs parted man-db zsh util-linux mount procps strace
        $(cat "$(dirname "${BASH_SOURCE[0]}")/vm/host-packages.txt")"

install_packages() {
        local wanted=$build_packages missing=() package

        [ "$1" = test ] && wanted="$wanted $test_packages"
        for package in $wanted; do
                [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
                        missing+=("$package")
        done
        [ ${#missing[@]} -eq 0 ] && return 0
        if [ "$(id -u)" -ne 0 ]; then
                echo "These packages are missing: ${missing[*]}" >&2
                echo "Run this with sudo, or install them first." >&2
                return 1
        fi
        echo "Installing ${#missing[@]} packages that are missing …"
        apt-get update -qq &&
                DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
                        "${missing[@]}" > "${TMPDIR:-/tmp}/storaged-packages.log" 2>&1 || {
                tail -n 20 "${TMPDIR:-/tmp}/storaged-packages.log" >&2
                return 1
        }
        rm -f "${TMPDIR:-/tmp}/storaged-packages.log"
}
