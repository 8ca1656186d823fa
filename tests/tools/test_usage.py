# SPDX-License-Identifier: LGPL-2.1-or-later
"""storagectl's command line, as far as it needs no service."""

import pytest


@pytest.mark.parametrize("args, complaint", [
    ([], "a command is missing"),
    (["pool"], "a command is missing; see 'storagectl pool --help'"),
    (["pol", "list"], "unknown command 'pol'; did you mean 'pool'?"),
    (["pool", "strat", "x"], "unknown command 'pool strat'; did you mean 'pool start'?"),
    (["frobnicate"], "unknown command 'frobnicate'; see 'storagectl --help'"),
    (["vol-list"], "what virsh calls so is 'volume list' here"),
    (["pool", "dumpxml"], "what virsh calls so is 'pool show --xml' here"),
    (["volume", "info"], "what virsh calls so is 'volume show' here"),
    (["pool", "list", "--jsn"], "unknown option '--jsn'; did you mean '--json'?"),
    (["pool", "list", "--frobnicate"], "unknown option '--frobnicate'"),
    (["pool", "list", "-x"], "unknown option '-x'"),
    (["pool", "list", "--json=yes"], "option '--json' takes no value"),
    (["pool", "list", "--state"], "option '--state' wants a value"),
    (["pool", "list", "extra"], "one operand too many: 'extra'"),
    (["pool", "list", "--json", "--names"], "--names and --json exclude each other"),
    (["pool", "list", "--system"], "--user and --system exclude each other"),
    (["pool", "list", "--no-wait"], "--no-wait has no meaning"),
    (["pool", "show"], "operands are missing: storagectl pool show POOL"),
    (["pool", "show", ""], "an operand is empty"),
    (["pool", "show", "x", "--xml", "--json"], "--xml and --json exclude each other"),
    (["pool", "start", "x", "--json"], "'start' has nothing to print as JSON"),
    (["pool", "define", "/no/such.xml"], "no file '/no/such.xml' to read XML from"),
    (["pool", "define", "x", "--target", "/x"], "need --type too"),
    (["pool", "define", "x", "--type", "dir", "--mode", "0888"], "wants an octal mode such as 0640, not '0888'"),
    (["pool", "define", "x", "--type", "dir", "--owner", "no such user"], "wants the name or number of a user"),
    (["pool", "define", "x", "--type", "dir", "--cow", "maybe"], "wants yes or no, not 'maybe'"),
    (["pool", "define", "x", "--type", "netfs", "--source-host", "a:b"], "wants HOST or HOST:PORT, not 'a:b'"),
    (["pool", "define", "x", "--type", "netfs", "--source-host", "a:65536"], "wants HOST or HOST:PORT"),
    (["pool", "define", "x", "--type", "scsi", "--adapter", "a"], "wants KEY=VALUE, not 'a'"),
    (["pool", "create", "x", "--type", "dir", "--autostart"], "unknown option '--autostart'"),
    (["pool", "update", "x"], "give either a file with XML or options"),
    (["pool", "update", "x", "f.xml", "--mode", "0700"], "give either a file with XML or options"),
    (["pool", "update", "x", "--raid-spares", "1"], "an array is described as a whole"),
    (["volume", "show", "p"], "give a pool and the name of a volume in it"),
    (["volume", "show", "/x/y", "z"], "one operand too many: 'z'"),
    (["volume", "create", "p"], "give the pool, the name of the new volume and its size"),
    (["volume", "create", "p", "n"], "give the size of the new volume"),
    (["volume", "create", "p", "n", "5x"], "'5x' is not a size"),
    (["volume", "create", "p", "n", "1.2.3G"], "'1.2.3G' is not a size"),
    (["volume", "create", "p", "n", "16E"], "'16E' is not a size"),
    (["volume", "create", "p", "n", "--", "-1"], "'-1' is not a size"),
    (["volume", "create", "p", "n", "1G", "--allocation", "x"], "option '--allocation' wants a size"),
    (["volume", "create", "p", "n", "--xml", "f"], "name and size come from the XML"),
    (["volume", "create", "p", "--xml", "f", "--format", "raw"], "say in the XML what --format would say"),
    (["volume", "clone", "p", "n"], "and then the name of the new volume"),
    (["volume", "clone", "p", "n", "--xml", "f", "--format", "raw"], "say in the XML what --format would say"),
    (["volume", "clone", "p", "n", "m", "--xml", "f"], "one operand too many: 'm'"),
    (["volume", "clone", "p", "n", "m", "--capacity", "x"], "option '--capacity' wants a size"),
    (["volume", "convert", "p", "n", "m"], "say with --format what to convert it to"),
    (["volume", "convert", "p", "n", "m", "--linked"], "unknown option '--linked'"),
    (["vol-clone"], "what virsh calls so is 'volume clone' here"),
    (["volume", "upload", "p", "n"], "and then a file or '-'"),
    (["volume", "upload", "p", "n", "-"], "standard input has no length of its own: say with --length"),
    (["volume", "upload", "p", "n", "-", "--length", "x"], "option '--length' wants a size"),
    (["volume", "import", "p", "n"], "operands are missing: storagectl volume import POOL NAME FILE|-"),
    (["volume", "import", "p", "n", "-"], "standard input has no length of its own"),
    (["volume", "download", "p", "n"], "and then a file or '-'"),
    (["volume", "download", "p", "n", "-", "--json"], "there is no place for JSON"),
    (["volume", "download", "p", "n", "f", "--no-wait"], "a file gets its name when it is whole"),
    (["vol-upload"], "what virsh calls so is 'volume upload' here"),
    (["volume", "snapshot"], "a command is missing; see 'storagectl volume snapshot --help'"),
    (["volume", "snapshto"], "did you mean 'volume snapshot'?"),
    (["volume", "snapshot", "craete", "p", "v", "n"], "did you mean 'volume snapshot create'?"),
    (["volume", "snapshot", "create", "p", "v"], "and then the name of the snapshot"),
    (["volume", "rebase", "p", "v"], "and then the volume to build it on"),
    (["volume", "flatten", "p"], "give a pool and the name of a volume in it"),
    (["secret", "set"], "operands are missing: storagectl secret set USAGE"),
    (["secret", "set", "s"], "there is no terminal to ask for the secret"),
    (["volume", "wipe", "p"], "give a pool and the name of a volume in it"),
    (["vol-wipe"], "what virsh calls so is 'volume wipe' here"),
    (["volume", "delete", "p"], "give a pool and the name of a volume in it"),
    (["volume", "delete", "/x/y", "z"], "'z' is no absolute path"),
    (["volume", "resize", "p", "n"], "and then the size"),
    (["volume", "resize", "p", "n", "++1G"], "'++1G' is not a size"),
    (["job", "watch", "x"], "'x' is no job"),
    (["job", "cancel", "1", "--count", "3"], "unknown option '--count'"),
    (["monitor", "--count", "0"], "wants a number of at least 1"),
    (["monitor", "--timeout", "-3"], "wants a whole number"),
    (["capabilities", "--xml", "--json"], "--xml and --json exclude each other"),
])
def test_wrong_usage(without_service, args, complaint):
    assert complaint in without_service.fails(2, *args)


def test_help_and_version(without_service):
    for args in (["--help"], ["pool", "-h"], ["volume", "create", "--help"], ["--version"]):
        assert "storagectl" in without_service.ok(*args)
    assert "pool list" not in without_service.ok("volume", "--help")
    assert "volume snapshot revert" in without_service.ok("volume", "--help")
    assert "volume list" not in without_service.ok("volume", "snapshot", "--help")


@pytest.mark.parametrize("args", [
    ["pool", "list"], ["pool", "start", "x"], ["volume", "list", "x"], ["volume", "create", "x", "y", "1G"],
    ["job", "list"], ["monitor"], ["capabilities", "--xml"],
])
def test_no_service(without_service, args):
    assert "the service does not run" in without_service.fails(5, *args)


def test_no_bus(without_service):
    without_service.env["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/no/such/bus"
    done = without_service.run("pool", "list")
    assert done.returncode == 5
    assert done.stderr.startswith("storagectl: cannot reach the session bus: ")
    assert "hint: " in done.stderr
