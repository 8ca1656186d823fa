# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the programs can do, what the pages say of it, and what the shells complete must be the same."""

import glob
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import harness
import pytest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INTERFACES = sorted(glob.glob(f"{SOURCE}/interfaces/*.xml"))
PAGES = sorted(glob.glob(f"{SOURCE}/docs/*.[158]"))
BASH = f"{SOURCE}/tools/completions/storagectl.bash"
ZSH = f"{SOURCE}/tools/completions/_storagectl"
GROUPS = ("pool", "volume", "volume snapshot", "job", "secret")


def run(*argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True, **more)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def help_of(binary, *command):
    done = run(binary, *" ".join(command).split(), "--help")
    assert done.stderr == ""
    return done.stdout


def commands(binary):
    """["pool", "list"], ["volume snapshot", "list"] and so on, as --help tells them."""
    lines = help_of(binary).split("\nCommands:\n")[1].split("\n\n")[0].splitlines()
    found = []
    for line in lines:
        words = line[2:].split() if re.match(r"  \w", line) else []
        if words[:2] == ["volume", "snapshot"]:
            words[:2] = ["volume snapshot"]
        if words:
            found.append(words[:2] if words[0] in GROUPS else words[:1])
    return found


def options(binary, *command):
    return set(re.findall(r"^  (--[a-z0-9-]+)", help_of(binary, *command), re.MULTILINE))


@pytest.fixture(scope="module")
def manual():
    return run("man", "-l", f"{SOURCE}/docs/storagectl.1",
               env=dict(os.environ, MANWIDTH="1000", LC_ALL="C.UTF-8", MAN_KEEP_FORMATTING="")).stdout


def test_there_are_pages_and_interfaces():
    assert len(PAGES) == 3 and len(INTERFACES) >= 4


@pytest.mark.parametrize("path", INTERFACES, ids=os.path.basename)
def test_every_member_is_described(path):
    members = [e for kind in ("interface", "method", "signal", "property")
               for e in ET.parse(path).getroot().iter(kind)]
    for e in members:
        notes = {a.get("name"): a.get("value") for a in e.findall("annotation")}
        assert notes.get("org.gtk.GDBus.DocString", "").strip().endswith((".", "?")), e.get("name")
        if e.tag == "method":
            assert "org.example.Storage1.PolkitAction" in notes, e.get("name")
        for a in e.findall("arg"):
            assert a.get("name"), f"an argument of {e.get('name')} has no name"


def test_reference_holds_every_member(tmp_path):
    made = tmp_path / "api.md"
    run("/usr/bin/python3", f"{SOURCE}/docs/make-api.py", str(made), *INTERFACES)
    text = made.read_text(encoding="utf-8")
    for path in INTERFACES:
        for e in ET.parse(path).getroot().iter():
            if e.tag in ("method", "signal"):
                assert f"#### {e.get('name')}\n" in text
            elif e.tag == "property":
                assert f"| {e.get('name')} | `{e.get('type')}` |" in text
            elif e.get("name") == "org.example.Storage1.PolkitAction":
                for action in e.get("value").split():
                    assert f"`{action}`" in text


def test_reference_refuses_what_is_not_described(tmp_path):
    bad = tmp_path / "bad.xml"
    bad.write_text('<node><interface name="a.B"><annotation name="org.gtk.GDBus.DocString" value="Good."/>'
                   '<method name="Undescribed"/></interface></node>', encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run("/usr/bin/python3", f"{SOURCE}/docs/make-api.py", str(tmp_path / "out"), str(bad))
    assert "Undescribed has no description" in failed.value.stderr


@pytest.mark.parametrize("path", [f"{SOURCE}/common/errors.h"])
def test_reference_tells_every_error(path):
    names = re.findall(r'STORAGE_ERROR_PREFIX "(\w+)"', read(path))
    assert len(names) > 10
    for name in names:
        assert f"| {name} |" in read(f"{SOURCE}/docs/make-api.py")


@pytest.mark.parametrize("path", PAGES, ids=os.path.basename)
def test_page_has_no_warnings(path):
    done = run("man", "--warnings", "-l", path, env=dict(os.environ, MANWIDTH="100", LC_ALL="C.UTF-8"))
    assert done.stderr == ""
    assert len(done.stdout) > 1000


def test_page_tells_every_command_and_option(storagectl_binary, manual):
    known = commands(storagectl_binary)
    assert len(known) == 47
    for command in known:
        assert re.search(r"^ +" + " ".join(command) + r"\b", manual, re.MULTILINE), command
        for option in options(storagectl_binary, *command):
            assert re.search(re.escape(option) + r"\b", manual), (command, option)


def test_page_tells_every_exit_status(manual):
    header = read(f"{SOURCE}/tools/storagectl.h")
    statuses = re.findall(r"STATUS_\w+ = (\d+),", header)
    assert len(statuses) > 10
    section = manual.split("EXIT STATUS")[1].split("ENVIRONMENT")[0]
    for status in statuses:
        assert re.search(rf"^ +{status}\b", section, re.MULTILINE), status


def test_page_of_the_service_tells_every_option():
    known = set(re.findall(r"  (--[a-z-]+)", help_of(harness.find_binary("storaged"))))
    assert len(known) >= 5
    page = read(f"{SOURCE}/docs/storaged.8").replace("\\-", "-")
    for option in known:
        assert re.search(re.escape(option) + r"\b", page), option


@pytest.mark.parametrize("header, name", [
    ("job.h", "JOBS_PER_USER_MAX"), ("job.h", "JOBS_MAX"), ("job.h", "JOBS_KEPT_MAX"), ("data-queue.h", "MOVING_MAX"),
    ("data-queue.h", "MOVING_PER_USER_MAX"), ("data-queue.h", "CLIENT_MOVING_MAX"),
    ("data-queue.h", "CLIENT_MOVING_PER_USER_MAX"),
])
def test_page_of_the_service_tells_every_limit(header, name):
    limit = re.search(rf"^#define {name} (\d+)U$", read(f"{SOURCE}/service/{header}"), re.MULTILINE).group(1)
    section = read(f"{SOURCE}/docs/storaged.8").split(".SH LIMITS")[1].split(".SH")[0]
    assert re.search(rf"\b{limit}\b", section), f"{name} is {limit}"


def bash_completions(line, path):
    """What bash offers for the last word of the line."""
    script = f"""
        source {BASH}
        COMP_WORDS=({line})
        {'COMP_WORDS+=("")' if line.endswith(' ') else ':'}
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        compopt() {{ :; }}
        _storagectl
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    out = run("bash", "--norc", "-c", script, env={"PATH": f"{path}:/usr/bin:/bin"}).stdout
    return set(filter(None, out.splitlines()))


@pytest.fixture
def fake(tmp_path):
    """A storagectl that knows two pools, of which one is on the session bus, three volumes and a job."""
    program = tmp_path / "storagectl"
    program.write_text("""#!/bin/sh
case "$*" in
*--user*"pool list --names") echo "my pool" ;;
*"pool list --names") echo images ;;
*"volume snapshot list images a.qcow2 --names") echo monday ;;
*"volume list images "*--names) printf 'a.qcow2\\nb.raw\\nc d.raw\\n' ;;
*"job list --no-legend") echo " 12  create-volume  running" ;;
*) exit 2 ;;
esac
""")
    program.chmod(0o755)
    return tmp_path


def test_bash_completes_every_command_and_option(storagectl_binary, fake):
    run("bash", "-n", BASH)
    known = commands(storagectl_binary)
    assert bash_completions("storagectl ", fake) == {c[0] for c in known} - {"volume snapshot"}
    for group in GROUPS:
        inside = {c[0].rsplit(" ", 1)[1] for c in known if c[0].startswith(group + " ")}
        assert bash_completions(f"storagectl {group} ", fake) == {c[1] for c in known if c[0] == group} | inside
    for command in known:
        offered = bash_completions(f"storagectl {' '.join(command)} --", fake)
        assert offered == options(storagectl_binary, *command), command


@pytest.mark.parametrize("line, offered", [
    ("storagectl pool start ", {"images"}),
    ("storagectl pool list ", set()),
    ("storagectl --user pool start ", {"my\\ pool"}),
    ("storagectl pool start x", set()),
    ("storagectl volume delete images b", {"b.raw"}),
    ("storagectl volume delete images c", {"c\\ d.raw"}),
    ("storagectl volume delete images a.qcow2 b", {"b.raw"}),
    ("storagectl volume show images a.qcow2 ", set()),
    ("storagectl volume create --format raw images --backing b", {"b.raw"}),
    ("storagectl volume create images new 1G --preallocation f", {"falloc", "full"}),
    ("storagectl volume clone images a.qcow2 new --to-pool ", {"images"}),
    ("storagectl volume convert images b", {"b.raw"}),
    ("storagectl volume import ", {"images"}),
    ("storagectl volume disk-xml images a.qcow2 --bus s", {"scsi", "sata"}),
    ("storagectl volume snapshot revert images a.qcow2 ", {"monday"}),
    ("storagectl volume snapshot create images c", {"c\\ d.raw"}),
    ("storagectl volume wipe --algorithm n", {"nnsa"}),
    ("storagectl volume rebase images a.qcow2 b", {"b.raw"}),
    ("storagectl pool define --type lo", {"logical"}),
    ("storagectl job cancel ", {"12"}),
])
def test_bash_completes_names_and_values(line, offered, fake):
    assert bash_completions(line, fake) == offered


def test_zsh_knows_every_command_and_option(storagectl_binary):
    text = read(ZSH)
    if shutil.which("zsh"):
        run("zsh", "-n", ZSH)
    functions = dict(re.findall(r"^_storagectl_(pool|volume|snapshot|job|secret)\(\) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL))
    for command in commands(storagectl_binary):
        body = functions[command[0].split()[-1]] if len(command) > 1 else text
        assert f"'{command[-1]}:" in body, command
        for option in options(storagectl_binary, *command):
            assert re.search(rf"['\"}},]\*?(\([^)]*\))?{option}[\[}}]", text), (command, option)


def test_every_help_is_narrow(storagectl_binary):
    for command in [[], *([group] for group in GROUPS), *commands(storagectl_binary)]:
        for line in help_of(storagectl_binary, *command).splitlines():
            assert len(line) <= 100, line
