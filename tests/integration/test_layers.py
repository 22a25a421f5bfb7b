"""The layers of the sandbox, looked at from outside; and each alone."""

import os
from pathlib import Path

import pytest
from openvpn3_sessionmgr.ipc.exitcodes import Exit
from openvpn3_sessionmgr.policy.confinement import SPAWNER_CAPABILITIES, SUPERVISOR_CAPABILITIES, WORKER_RLIMITS
from openvpn3_sessionmgr.policy.layers import ALL, NAMESPACES, Layer
from openvpn3_sessionmgr.tests.lab.lab import Lab
from openvpn3_sessionmgr.tests.lab.openvpn import TUNNEL_ADDRESS
from openvpn3_sessionmgr.tests.lab.service import Service

from .service_life import field, parent, processes, refused
from .sessions import UserSession, begin

SPAWNER = "openvpn3-service-sessionmgr: spawner"
RESOLVER = "openvpn3-service-sessionmgr: resolver"
NAMES = {Layer.MOUNT: "mnt", Layer.PID: "pid", Layer.IPC: "ipc", Layer.UTS: "uts", Layer.CGROUP_NAMESPACE: "cgroup"}
MARKER = b"through the tunnel"
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
NOT_HERE = {Layer.CGROUP}  # what a machine without cgroup v2 lacks


def here() -> frozenset[Layer]:
    """The layers that this machine has."""
    return ALL - NOT_HERE


def started(lab: Lab, layers: str) -> tuple[Service, UserSession]:
    """A service with these layers, and a session of it that is up."""
    lab.server()
    service = lab.supervisor(f"--sandbox={layers}")
    session = begin(lab)
    session.connect()
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    return service, session


def capabilities(pid: int) -> list[set[str]]:
    """The capabilities in each set of a process, by name (capabilities(7))."""
    import _prctl

    names = {getattr(_prctl, name): name[4:].lower() for name in dir(_prctl) if name.startswith("CAP_")}
    masks = [int(field(pid, which), 16) for which in CAPABILITY_SETS]
    return [{names[bit] for bit in range(64) if mask >> bit & 1} for mask in masks]


def namespace(pid: int, layer: Layer) -> str:
    return os.readlink(f"/proc/{pid}/ns/{NAMES[layer]}")  # noqa: PTH115


def limits(pid: int) -> dict[str, tuple[str, str]]:
    """Soft and hard limits of a process, by proc(5)'s names."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:25].strip(): (line[26:46].strip(), line[47:67].strip()) for line in lines}


def filters(pid: int) -> int:
    """How many seccomp filters bind a process."""
    return int(field(pid, "Seccomp_filters"))


def test_all_processes_from_outside(lab: Lab) -> None:
    service, session = started(lab, "available")
    worker, engine = session.worker.pid, session.engine.pid
    print(service.log)
    keeper, serving = processes(SPAWNER)
    resolver_keeper, resolver = processes(RESOLVER)
    helpers = (keeper, serving, resolver_keeper, resolver)
    for pid in (service.pid, *helpers, worker, engine):
        assert field(pid, "NoNewPrivs") == "1"
        assert field(pid, "Groups") == ""
        assert limits(pid)["Max core file size"] == ("0", "0")
    for pid in (*helpers, worker, engine):
        assert field(pid, "Seccomp") == "2"
    # The spawner's two bind what it forks; the worker's and the engine's come on top.
    assert [filters(pid) for pid in (*helpers, worker, engine)] == [2, 2, 1, 1, 3, 3]

    nothing: list[set[str]] = [set()] * 5
    for pid in (resolver_keeper, resolver, worker, engine):
        assert capabilities(pid) == nothing
    for pids, kept in (((service.pid,), SUPERVISOR_CAPABILITIES), ((keeper, serving), SPAWNER_CAPABILITIES)):
        for pid in pids:
            assert capabilities(pid) == [set(), set(kept), set(kept), set(kept), set()]

    for layer in NAMESPACES:
        assert namespace(worker, layer) == namespace(engine, layer) != namespace(service.pid, layer)
    assert parent(worker) == service.pid
    for pid in (worker, engine):
        bounds = limits(pid)
        for name, bound, _ in WORKER_RLIMITS:
            assert bounds[_PROC_NAMES[name]] == (str(bound), str(bound))
    # Not dumpable: proc(5) gives their files to root.
    for pid in (service.pid, *helpers, worker):
        assert Path(f"/proc/{pid}/environ").stat().st_uid == 0
    assert f"Confined by {','.join(layer for layer in Layer if layer in here() - {Layer.FIREWALL})}" in service.log


_PROC_NAMES = {
    "CORE": "Max core file size",
    "NOFILE": "Max open files",
    "NPROC": "Max processes",
    "FSIZE": "Max file size",
    "DATA": "Max data size",
    "AS": "Max address space",
    "MEMLOCK": "Max locked memory",
    "MSGQUEUE": "Max msgqueue size",
}


@pytest.mark.parametrize("layer", [None, *sorted(here() - {Layer.FIREWALL})])
def test_each_layer_alone(lab: Lab, layer: Layer | None) -> None:
    """The session works with it and without all others, and nothing but it is seen."""
    service, session = started(lab, layer or "none")
    other = begin(lab, "other", user="bob")
    for pid in (session.worker.pid, session.engine.pid):
        on = {one for one in NAMES if namespace(pid, one) != namespace(service.pid, one)}
        on -= {Layer.MOUNT} if namespace(pid, Layer.MOUNT) == namespace(processes(SPAWNER)[0], Layer.MOUNT) else set()
        on |= {Layer.NO_NEW_PRIVS} if field(pid, "NoNewPrivs") == "1" else set()
        on |= {Layer.SECCOMP} if field(pid, "Seccomp") == "2" else set()
        on |= {Layer.CAPABILITIES} if not capabilities(pid)[1] else set()
        on |= {Layer.RLIMITS} if limits(pid)["Max processes"][0] == "8" else set()
        on |= {Layer.USER} if field(pid, "Uid") != field(other.worker.pid, "Uid") else set()
        on |= {Layer.ROOT} if not Path(f"/proc/{pid}/root/etc/passwd").exists() else set()
        assert on == {layer} - {None, Layer.LANDLOCK, Layer.SCOPE, Layer.MDWE}
    assert f"Confined by {layer or 'none'}" in service.log


def test_strict_names_each_layer_that_is_missing(lab: Lab) -> None:
    said = refused(lab, "--sandbox=strict", status=Exit.CANNOT_START)
    assert "cgroup, which needs cgroup v2 with the controllers memory and pids, delegated to the service" in said
    assert "--sandbox available" in said
