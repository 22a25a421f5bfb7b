"""A cgroup for each session, where the service was given a part of the tree."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ....policy.sandbox.confinement import CGROUP_BOUNDS, START_CAPABILITIES
from ....policy.sandbox.layers import ALL, Layer, join
from ...lab.lab import Lab
from ...lab.service import FIRST_SESSION_UID
from ...lab.surroundings import SERVICE
from ...support.service_life import after, make_directories, processes, refused, started, with_only
from ...support.sessions import begin, wait_gone
from ...support.skipping import cannot_run_here

CONTROLLERS = {controller for controller, *_ in CGROUP_BOUNDS}
PLACE = "/sys/fs/cgroup"  # where the service finds the tree


def root_group() -> Path:
    """The root of the tree of cgroup v2."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[fields.index("-") + 1] == "cgroup2" and fields[3] == "/":
            return Path(fields[4])
    cannot_run_here("no cgroup v2")
    raise AssertionError


@pytest.fixture
def group() -> Iterator[Path]:
    """A group of the machine's tree that has the controllers."""
    root = root_group()
    if not set((root / "cgroup.controllers").read_text().split()) >= CONTROLLERS:
        cannot_run_here(f"cgroup v2 has not all of {', '.join(sorted(CONTROLLERS))}")
    control = root / "cgroup.subtree_control"
    added = CONTROLLERS - set(control.read_text().split())
    control.write_text(" ".join(f"+{one}" for one in added))
    made = root / f"openvpn3-sessionmgr-test-{os.getpid()}"
    made.mkdir()
    try:
        yield made
    finally:
        for below in sorted(made.glob("*/"), reverse=True):
            below.rmdir()
        made.rmdir()
        control.write_text(" ".join(f"-{one}" for one in added))


def in_group(group: Path) -> list[str]:
    """A command that runs others in the group, with the tree in its place."""
    return after(f"mount -t cgroup2 none {PLACE}", f"echo $$ >{PLACE}/{group.name}/cgroup.procs")


def directories(pid: int) -> list[Path]:
    """The descriptors of directories that a process has."""
    return [one for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_dir()]


@pytest.mark.parametrize("owner", [0, SERVICE.uid])
def test_a_session_has_a_group_of_its_own_with_bounds(lab: Lab, group: Path, owner: int) -> None:
    """Whether it was given to root or, as by a unit with User=, to the service's account."""
    lab.server()
    for given in (group, *(group / f"cgroup.{name}" for name in ("procs", "threads", "subtree_control"))):
        os.chown(given, owner, owner)
    make_directories(lab)
    few = with_only(lab, *START_CAPABILITIES)
    with started(lab, "--sandbox=strict", through=[*in_group(group), *few]) as service:
        service.wait_line("runs as user")
        session = begin(lab)
        session.connect()
        worker, engine = session.worker, session.engine
        theirs = group / f"session-{FIRST_SESSION_UID}"
        assert {int(pid) for pid in (theirs / "cgroup.procs").read_text().split()} >= {worker.pid, engine.pid}
        for _, file, bound, _ in CGROUP_BOUNDS:
            assert (theirs / file).read_text().split() == [str(bound)]
        assert f"Confined by {join(ALL)}\n" in service.text
        [serving] = processes("openvpn3-service-sessionmgr: spawner, serving")
        [descriptor] = directories(serving)
        assert os.path.samestat(descriptor.stat(), (descriptor / "..").stat()), "it leads out of the spawner's root"
        for pid in (worker.pid, engine.pid):
            assert not directories(pid)
        supervisor = (group / "supervisor" / "cgroup.procs").read_text().split()
        assert str(service.pid) in supervisor
        # In its namespace its own group is the root.
        look = ["nsenter", f"--target={worker.pid}", "--cgroup", "cat", f"/proc/{worker.pid}/cgroup"]
        inside = lab.client_side.run(look)
        assert "0::/\n" in inside.stdout
        # The next session of the same user id gets the same group.
        session.call("Disconnect")
        wait_gone([worker])
        again = begin(lab, "again")
        assert str(again.worker.pid) in (theirs / "cgroup.procs").read_text().split()
        worker = again.worker
        again.call("Disconnect")
        wait_gone([worker])


def test_without_the_controllers_strict_says_so(lab: Lab) -> None:
    """The service in the root group, which cannot be arranged."""
    root_group()
    said = refused(lab, "--sandbox=strict", through=after(f"mount -t cgroup2 none {PLACE}"))
    assert str(Layer.CGROUP) in said
    assert "the service is in the root group" in said
