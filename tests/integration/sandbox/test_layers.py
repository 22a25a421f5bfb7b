"""The layers of the sandbox, looked at from outside; and each alone."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ....policy.exit_status import ExitStatus
from ....policy.sandbox.confinement import SPAWNER_CAPABILITIES, SUPERVISOR_CAPABILITIES, WORKER_RLIMITS
from ....policy.sandbox.layers import ALL, NAMESPACES, Layer, join
from ...lab.lab import Lab
from ...lab.network import CLIENT_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS
from ...lab.processes import DEADLINE
from ...lab.service import SESSION_UIDS, Service
from ...support.service_life import field, parent, processes, refused
from ...support.sessions import UserSession, begin, wait_gone

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
    # Nothing that was opened outside is left to a session: what stands for no cgroup is /dev/null, too.
    for pid, nulls in ((worker, 3), (engine, 1)):
        links = [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()]  # noqa: PTH115
        assert links.count("/dev/null") == nulls, links
        assert not any(one.is_dir() for one in Path(f"/proc/{pid}/fd").iterdir())
    assert f"Confined by {join(here())}\n" in service.log


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


def connects(lab: Lab, uid: int, address: str, port: int) -> bool:
    """Whether a process of a user id on the client's machine reaches a service there."""
    code = f"import socket; socket.create_connection(({address!r}, {port}), 5)"
    identity = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    done = lab.client_side.run([*identity, sys.executable, "-I", "-c", code])
    assert done.returncode == 0 or "ConnectionRefusedError" in done.stderr
    return done.returncode == 0


@contextmanager
def local_service(lab: Lab) -> Iterator[int]:
    """A service of the client's machine at all its addresses; its port."""
    code = (
        "import socket; s = socket.create_server(('::', 0), family=socket.AF_INET6, dualstack_ipv6=True)\n"
        "print('port', s.getsockname()[1], flush=True)\n"
        "while True: s.accept()"
    )
    process = lab.client_side.start("local service", [sys.executable, "-I", "-c", code])
    try:
        yield int(process.wait_line("^port").split()[1])
    finally:
        process.stop()


def test_sessions_do_not_reach_this_machines_services(lab: Lab) -> None:
    lab.server()
    resolver, first, last, beyond = *SESSION_UIDS[:2], SESSION_UIDS[-1], SESSION_UIDS[-1] + 1
    with local_service(lab) as port:
        service = lab.supervisor()
        for address in ("127.0.0.1", "::1", CLIENT_ADDRESS):
            for uid, wanted in ((resolver, True), (first, False), (last, False), (beyond, True)):
                assert connects(lab, uid, address, port) is wanted, (address, uid)
        # The server is elsewhere, and reached; the layer is reported.
        session = begin(lab)
        session.connect()
        service.process.wait_line("Confined by .*firewall")
        service.stop()
        assert connects(lab, first, "127.0.0.1", port)


def test_a_session_whose_server_is_here_is_exempt_while_it_lives(lab: Lab) -> None:
    first, second = SESSION_UIDS[1:3]
    with local_service(lab) as port:
        service = lab.supervisor()
        local = begin(lab, "local", remotes=[f"localhost {port} tcp"])
        begin(lab, "other", user="bob")
        assert connects(lab, first, "127.0.0.1", port)
        assert not connects(lab, second, "127.0.0.1", port)
        said = [line for line in service.log.splitlines() if "Confined by" in line]
        assert ["firewall" in line for line in said] == [False, True]
        worker = local.worker
        local.call("Disconnect")
        wait_gone([worker])
        until(lambda: not connects(lab, first, "127.0.0.1", port))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline


def test_strict_names_each_layer_that_is_missing(lab: Lab) -> None:
    said = refused(lab, "--sandbox=strict", status=ExitStatus.CANNOT_START)
    assert "cgroup, which needs cgroup v2 with the controllers memory and pids, delegated to the service" in said
    assert "--sandbox available" in said
