"""Starting the service: what it becomes, and what it says when it cannot start."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from ....policy.exit_status import ExitStatus
from ....policy.sandbox.confinement import START_CAPABILITIES, SUPERVISOR_CAPABILITIES
from ....policy.sandbox.layers import ALL, Layer, join
from ....supervisor.start.allocator import SETTINGS
from ...lab import bus
from ...lab.connection import BusError
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...lab.processes import DEADLINE, clean_environment, until_gone
from ...lab.service import AS_INSTALLED, service_command
from ...lab.surroundings import ALICE, IMPORT_ROOT, SERVICE, SHARED
from ...support.service_life import (
    after,
    connected,
    field,
    make_directories,
    over,
    processes,
    refused,
    started,
    title,
    wait_ready,
    with_only,
    without,
)
from ...support.sessions import begin

CAPABILITIES = {"net_admin": 12, "kill": 5}  # numbers of linux/capability.h
PROGRAM = "openvpn3-service-sessionmgr"


# --- what it becomes ---


def test_root_becomes_an_ordinary_user_with_two_capabilities(lab: Lab) -> None:
    service = lab.supervisor()
    kept = f"{sum(1 << CAPABILITIES[name] for name in SUPERVISOR_CAPABILITIES):016x}"
    # Each thread for itself: it keeps what it was started with.
    tasks = [int(entry.name) for entry in Path(f"/proc/{service.pid}/task").iterdir()]
    assert len(tasks) > 1
    for task in tasks:
        for name in ("Uid", "Gid"):
            assert field(service.pid, name, task) == " ".join([str(SERVICE.uid)] * 4)
        assert field(service.pid, "Groups", task) == ""
        for name, expected in (("CapPrm", kept), ("CapEff", kept), ("CapBnd", kept)):
            assert field(service.pid, name, task) == expected
        for name in ("CapInh", "CapAmb"):
            assert int(field(service.pid, name, task), 16) == 0
        assert field(service.pid, "NoNewPrivs", task) == "1"
    # Files of a process that is not dumpable are root's (proc(5)).
    assert Path(f"/proc/{service.pid}/environ").stat().st_uid == 0
    [core] = [line for line in Path(f"/proc/{service.pid}/limits").read_text().splitlines() if "core file" in line]
    assert core.split()[4:6] == ["0", "0"]
    line = service.process.wait_line("runs as user")
    assert f"user {SERVICE.uid} with CAP_NET_ADMIN and CAP_KILL only" in line


def test_it_overwrites_what_it_frees_however_it_is_started(lab: Lab) -> None:
    argv = [word for word in service_command(lab.directory / "own") if word not in AS_INSTALLED]
    service = lab.client_side.start("service", argv, environment=lab.bus.environment())
    service.wait_line("runs as user")
    # The C library may have cut its tunables apart there.
    environment = Path(f"/proc/{service.pid}/environ").read_text().replace("\0", ":")
    for name, value in SETTINGS.items():
        assert f":{name}={value}:" in f":{environment}"
    assert service.stop() == ExitStatus.OK


AS_THE_SUPERVISOR = (
    "from openvpn3_sessionmgr.supervisor.start import privileges\n"
    "import pwd; privileges.drop(pwd.getpwnam('_openvpn'))\n"
)
AS_THE_SPAWNER = (
    "from openvpn3_sessionmgr.supervisor.sandbox import filters\n"
    "from openvpn3_sessionmgr.policy.sandbox.layers import ALL\n"
    "from openvpn3_sessionmgr.worker.sandbox import confine\n"
    "made = filters.build_all(ALL, range(60707, 61184), None)\n"
    "confine.confine_spawner(confine.Confinement(ALL, made))\n"
)


@pytest.mark.parametrize(("become", "subreaper"), [(AS_THE_SUPERVISOR, "1"), (AS_THE_SPAWNER, "0")])
def test_user_id_0_means_nothing_to_it(lab: Lab, become: str, subreaper: str) -> None:
    """Only a process itself can read its secure bits, so this one drops privileges as the service's do."""
    code = (
        "import _prctl, prctl, resource\n"
        "from openvpn3_sessionmgr.kernel import process\n"
        "was = prctl.get_child_subreaper\n" + become + "try: reaper = was()\n"
        "except PermissionError: reaper = 0\n"
        "bits = _prctl.prctl(_prctl.PR_GET_SECUREBITS)\n"
        "print(bits, prctl.get_dumpable(), int(reaper), *resource.getrlimit(resource.RLIMIT_CORE))\n"
        "for bit in range(8):\n"
        "  try: process.set_securebits(bits ^ 1 << bit)\n"
        "  except PermissionError: print('locked')\n"
    )
    done = lab.client_side.run([sys.executable, "-c", code], environment=clean_environment(PYTHONPATH=str(IMPORT_ROOT)))
    noroot, setuid_fixup, ambient = 0b11, 1 << 3, 0b11 << 6  # each with its lock (linux/securebits.h)
    assert done.stdout.split() == [str(noroot | setuid_fixup | ambient), "False", subreaper, "0", "0", *["locked"] * 8]


def test_ps_shows_it_by_its_name(lab: Lab) -> None:
    service = lab.supervisor()
    alice = lab.connection("alice")
    alice.new_tunnel(alice.import_profile("work", lab.profile()))  # the helpers have started by then
    assert title(service.pid) == PROGRAM
    assert set(map(title, processes(PROGRAM))) >= {
        f"{PROGRAM}: spawner",
        f"{PROGRAM}: spawner, serving",
        f"{PROGRAM}: resolver",
    }


def test_its_files_are_its_own(lab: Lab) -> None:
    directory = lab.directory / "own"
    with started(lab, directory=directory) as service:
        service.wait_line("runs as user")
        for place in ("runtime", "state", "runtime/profiles", "runtime/sessions", "runtime/devices", "state/profiles"):
            found = (directory / place).stat()
            assert (found.st_uid, found.st_mode & 0o777) == (SERVICE.uid, 0o700), place
        assert (directory / "runtime" / "lock").stat().st_mode & 0o777 == 0o600
        # What the spawner mounts over it is its own affair.
        directories = ("profiles", "sessions", "devices", "names")
        assert {file.name for file in (directory / "runtime").iterdir()} == {*directories, "lock", "trial"}


# --- privileges that are missing ---


def test_an_ordinary_user_is_told_how_to_start_it(lab: Lab) -> None:
    said = refused(lab, user="alice")
    assert "must be started as root" in said
    assert "sudo" in said


@pytest.mark.parametrize("names", [*((name,) for name in START_CAPABILITIES), ("sys_admin", "kill")])
def test_missing_capabilities_are_named(lab: Lab, names: tuple[str, ...]) -> None:
    said = refused(lab, through=without(*names))
    for name in names:
        assert f"CAP_{name.upper()} ({START_CAPABILITIES[name]})" in said
        assert f"--cap-add {name.upper()}" in said
    assert said.count("--cap-add") == len(names)
    assert not (lab.directory / "own").exists()


def test_the_capabilities_it_asks_for_are_enough(lab: Lab) -> None:
    lab.server()
    logs = lab.directory / "logs"
    logs.mkdir(mode=0o700)
    os.chown(logs, SERVICE.uid, SERVICE.uid)
    options = [f"--log-file={logs}/service.log"]
    make_directories(lab)
    for times in (1, 2):  # what is in its directories is new the first time, and its own the second
        with started(lab, *options, through=with_only(lab, *START_CAPABILITIES)) as service:
            wait_ready(lab)
            session = begin(lab)
            session.connect()
            assert lab.echo(TUNNEL_ADDRESS, b"through it") == b"through it"
            session.call("Disconnect")
            assert service.stop() == ExitStatus.OK
        log = (logs / "service.log").read_text()
        assert log.count("runs as user") == times
        assert log.count(f"Confined by {join(ALL - {Layer.CGROUP})}\n") == times
    assert (logs / "service.log").stat().st_uid == SERVICE.uid


def test_it_keeps_no_group_that_it_was_started_in(lab: Lab) -> None:
    with started(lab, through=["setpriv", "--groups=4,24,4242"]) as service:
        wait_ready(lab)
        session = begin(lab)
        helpers = processes("openvpn3-service-sessionmgr: ")
        assert len(helpers) == 6
        for pid in (service.pid, *helpers, session.worker.pid, session.engine.pid):
            assert field(pid, "Groups") == "", pid
        session.call("Disconnect")


def test_a_directory_that_it_cannot_give_away_is_named(lab: Lab) -> None:
    runtime = lab.directory / "own" / "runtime"
    said = refused(lab, through=with_only(lab, *START_CAPABILITIES))
    assert f"Changing the owner of {runtime} to _openvpn needs CAP_CHOWN" in said
    assert f"install -d -m 700 -o _openvpn -g _openvpn {runtime}" in said
    with started(lab, through=with_only(lab, *START_CAPABILITIES, "chown")) as service:
        service.wait_line("runs as user")
        assert (runtime.stat().st_uid, runtime.stat().st_mode & 0o777) == (SERVICE.uid, 0o700)


@pytest.mark.parametrize("mask", ["0077", "0000"])
def test_who_starts_it_does_not_decide_who_reads_its_files(lab: Lab, mask: str) -> None:
    """Nor whether sessions can read their own root directory."""
    directory = lab.directory / "own"
    with started(lab, through=["sh", "-c", f'umask {mask}; exec "$@"', "sh"], directory=directory) as service:
        service.wait_line("runs as user")
        assert int(field(service.pid, "Umask"), 8) == 0o077
        alice = lab.connection("alice")
        path = alice.new_tunnel(alice.import_profile("work", lab.profile()))
        for file in directory.rglob("*"):
            assert not file.stat().st_mode & 0o077 or file.is_socket(), file
        alice.session(path, "Disconnect")


def test_a_step_that_fails_ends_the_start(lab: Lab) -> None:
    """A bit that somebody has locked already cannot be set as the service wants it."""
    keep_caps_locked = 1 << 5  # linux/securebits.h
    through = ["capsh", f"--secbits={keep_caps_locked}", "--", "-c", 'exec "$@"', "sh"]
    said = refused(lab, through=through, status=ExitStatus.CONFINEMENT)
    assert "Privileges could not be given up: lock the secure bits: " in said
    assert not until_gone(lambda: set(processes(PROGRAM)), DEADLINE)


def test_a_missing_account_is_named(lab: Lab) -> None:
    accounts = lab.directory / "passwd"
    accounts.write_text("root:x:0:0::/root:/bin/sh\nmessagebus:x:4003:4003::/:/bin/sh\n")
    said = refused(lab, through=after(over(accounts, "/etc/passwd")))
    assert "There is no account _openvpn" in said
    assert "useradd --system" in said


# --- places that are taken ---


@pytest.mark.parametrize("option", ["--runtime-dir", "--state-dir"])
def test_a_directory_that_is_not_its_own_is_left_alone(lab: Lab, option: str) -> None:
    theirs = lab.directory / "theirs"
    theirs.mkdir(mode=0o755)
    (theirs / "something").touch()
    link = lab.directory / "link"
    link.symlink_to(theirs)
    file = lab.directory / "file"
    file.touch()

    assert "belongs to root and is not empty" in refused(lab, f"{option}={theirs}")
    assert "it is a symbolic link" in refused(lab, f"{option}={link}")
    assert "File exists" in refused(lab, f"{option}={file}")
    assert "Not a directory" in refused(lab, f"{option}={file}/below")
    os.chown(theirs, ALICE.uid, ALICE.uid)
    said = refused(lab, f"{option}={theirs}")
    assert f"{theirs} belongs to user {ALICE.uid}" in said
    assert (theirs.stat().st_uid, theirs.stat().st_mode & 0o777) == (ALICE.uid, 0o755)


def test_a_link_within_its_own_directory_is_not_followed(lab: Lab) -> None:
    """Whoever broke into the service once must not have root give away something at the next start."""
    runtime, target = lab.directory / "runtime", lab.directory / "target"
    for directory in (runtime, target):
        directory.mkdir()
    os.chown(runtime, SERVICE.uid, SERVICE.uid)
    (runtime / "devices").symlink_to(target)
    assert "devices cannot be used: it is a symbolic link" in refused(lab, f"--runtime-dir={runtime}")
    assert target.stat().st_uid == 0
    (runtime / "devices").unlink()
    (runtime / "lock").symlink_to(target / "lock")
    assert "lock cannot be used" in refused(lab, f"--runtime-dir={runtime}")


def test_a_directory_that_takes_nothing_is_named(lab: Lab) -> None:
    place = lab.directory / "read-only"
    place.mkdir()
    through = after(f"mount -t tmpfs -o ro none {place}")
    said = refused(lab, f"--runtime-dir={place}/runtime", through=through)
    assert f"{place}/runtime cannot be used: Read-only file system" in said


def test_a_full_runtime_directory_is_named(lab: Lab) -> None:
    place = lab.directory / "full"
    place.mkdir()
    fill = f"dd if=/dev/zero of={place}/filler bs=4096 count=1 status=none"
    through = after(f"mount -t tmpfs -o size=4k none {place}", fill)
    said = refused(lab, f"--runtime-dir={place}/runtime", through=through)
    assert f"{place}/runtime/lock cannot be used: No space left on device" in said


def test_user_ids_of_others_are_not_used(lab: Lab) -> None:
    said = refused(lab, f"--session-uids={ALICE.uid - 1000}-{ALICE.uid}")
    assert "/etc/passwd: '_openvpn' uses ids" in said
    containers = lab.directory / "subuid"
    containers.write_text("alice:60000:1000\n")
    Path("/etc/subuid").exists() or pytest.fail("this machine has no /etc/subuid to cover")
    said = refused(lab, "--session-uids=60706-61183", through=after(over(containers, "/etc/subuid")))
    assert "/etc/subuid: 'alice' uses ids of the range for sessions (60706 to 61183)" in said


def test_a_log_file_that_cannot_be_opened_is_named(lab: Lab) -> None:
    link = lab.directory / "link"
    link.symlink_to("/etc/shadow")
    assert f"cannot open the log file {link}: is a symbolic link" in refused(lab, f"--log-file={link}")
    said = refused(lab, "--log-file=/nowhere/at/all")
    assert "cannot open the log file /nowhere/at/all: No such file or directory" in said


# --- the bus ---


@pytest.mark.parametrize("address", ["unix:path=/run/nowhere", "nonsense", ""])
def test_no_bus(lab: Lab, address: str) -> None:
    environment = clean_environment(DBUS_SYSTEM_BUS_ADDRESS=address)
    said = refused(lab, environment=environment)
    assert f"No connection to the system bus at {address or 'unix:path=/run/dbus/system_bus_socket'}: " in said


def test_a_missing_policy_file_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = lab.directory / "no-policies"
    nothing.mkdir()
    monkeypatch.setattr(bus, "POLICIES", nothing)
    said = refused(lab)
    assert "The bus does not let this service own its names" in said
    assert "policy file for net.openvpn.v3.sessions" in said


# --- what is only needed later ---


@pytest.mark.parametrize(
    "cover", [over(SHARED / "no-devices", "/dev/net"), over("/dev/null", "/dev/net/tun")], ids=["none", "another"]
)
def test_the_machines_own_tun_device_is_not_needed(lab: Lab, cover: str) -> None:
    (SHARED / "no-devices").mkdir(exist_ok=True)
    lab.server()
    with started(lab, through=after(cover)) as service:
        service.wait_line("runs as user")
        connected(lab)


def test_without_a_node_of_its_own_it_has_the_machines(lab: Lab) -> None:
    node = SHARED / "open"
    if not node.exists():
        os.mknod(node, 0o020666, os.makedev(10, 200))
        node.chmod(0o666)
    lab.server()
    with started(lab, through=[*after(over(node, "/dev/net/tun")), *without("mknod")]) as service:
        service.wait_line("runs as user")
        connected(lab)


@pytest.mark.parametrize(
    ("cover", "said"),
    [("true", "chmod 0666 /dev/net/tun"), (over("/dev/null", "/dev/net/tun"), "cannot make a tun device")],
    ids=["closed", "another"],
)
def test_an_unusable_tun_device_is_said_when_it_is_needed(lab: Lab, cover: str, said: str) -> None:
    with started(lab, through=[*after(cover), *without("mknod")]) as service:
        service.wait_line("runs as user")
        alice = lab.connection("alice")
        with pytest.raises(BusError) as caught:
            alice.new_tunnel(alice.import_profile("work", lab.profile()))
        assert said in caught.value.text
        assert service.stop() == ExitStatus.OK


def test_a_spawner_that_cannot_start_leaves_a_service_that_says_so(lab: Lab) -> None:
    # A file that cannot be bound anywhere: mounting it would make a loop of mount namespaces.
    with started(lab, "--openvpn=/proc/self/ns/mnt") as service:
        service.wait_line(r"Backend Starter -- ERROR --: .*Invalid argument")
        alice = lab.connection("alice")
        with pytest.raises(BusError, match=shlex.quote("/proc/self/ns/mnt")):
            alice.new_tunnel(alice.import_profile("work", lab.profile()))
        assert service.stop() == ExitStatus.OK


@pytest.mark.parametrize("arguments", [["--log-level=7"], ["--idle-exit=soon"], ["--nonsense"]])
def test_bad_options_end_with_status_2(lab: Lab, arguments: list[str]) -> None:
    assert "error: " in refused(lab, *arguments, status=ExitStatus.USAGE)


@pytest.mark.parametrize("option", ["--help", "-h", "--version"])
def test_help_and_version_need_nothing(lab: Lab, option: str) -> None:
    assert PROGRAM in refused(lab, option, user="alice", environment=clean_environment(), status=ExitStatus.OK)
