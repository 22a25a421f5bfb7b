"""A service that may have few files open has few sessions, and those it has it keeps."""

from pathlib import Path

import pytest

from ....policy.dbus_numbers import StatusMinor
from ...lab.connection import BusError
from ...lab.lab import Lab
from ...support.service_life import processes, refused, started, wait_ready
from ...support.sessions import begin

_FEW = ("prlimit", "--nofile=64:64", "--")
_HARD = 700


def limits_of(pid: int) -> tuple[int, int]:
    """Soft and hard limit, which only root of all namespaces could ask for by prlimit(2)."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("Max open files")]
    soft, hard = line.split()[3:5]
    return int(soft), int(hard)


def test_few_descriptors(lab: Lab) -> None:
    """Bob has as many sessions as he can get; alice's is not harmed, and there is a place for another of hers."""
    lab.server(pushes=())
    with started(lab, through=_FEW) as service:
        wait_ready(lab)
        hers = begin(lab, "hers")
        bob = lab.connection("bob")
        his = []
        with pytest.raises(BusError, match="the service may have 64 files open"):
            for number in range(60):
                his.append(bob.new_tunnel(bob.import_profile(f"his {number}", lab.profile())))
        assert his
        hers.connect()
        for path in his:
            before = len(bob.signals())
            bob.session(path, "Connect")
            bob.wait_status(path, StatusMinor.CONN_CONNECTED, since=before)
        other = begin(lab, "another", connection=hers.user)
        other.connect()
        bob.session(his.pop(), "Disconnect")
        his.append(bob.new_tunnel(bob.import_profile("one more", lab.profile())))
        assert len(list(Path(f"/proc/{service.pid}/fd").iterdir())) < 50
        for path in his:
            bob.session(path, "Disconnect")
        for session in (hers, other):
            assert session.minors[-1] == StatusMinor.CONN_CONNECTED
            session.call("Disconnect")
        assert "is killed" not in service.text and "Traceback" not in service.text


def test_too_few_for_anything(lab: Lab) -> None:
    text = refused(lab, through=("prlimit", "--nofile=30:30", "--"))
    assert "may have only 30 files open" in text and "LimitNOFILE=" in text


def test_the_limit_is_raised_for_the_supervisor_alone(lab: Lab) -> None:
    lab.server(pushes=())
    with started(lab, through=("prlimit", f"--nofile=256:{_HARD}", "--")) as service:
        wait_ready(lab)
        session = begin(lab)
        assert limits_of(service.pid) == (_HARD, _HARD)
        helpers = processes("openvpn3-service-sessionmgr: ")
        assert len(helpers) == 6
        assert all(limits_of(pid) == (256, _HARD) for pid in helpers)
        for process in (session.worker, session.engine):
            assert limits_of(process.pid) == (64, 64)
        session.call("Disconnect")
