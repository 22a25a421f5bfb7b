"""The machine sleeps: what sessions do before and after, as their profiles say."""

import signal

import pytest

from ..lab.lab import Lab
from ..lab.logind import Logind
from ..lab.openvpn import TUNNEL_ADDRESS
from ..support.sessions import CONNECTED, PAUSED, UserSession, until

SLEPT = "The machine has slept"


def connected(lab: Lab, on_resume: str) -> UserSession:
    owner = lab.connection("alice")
    profile = owner.import_profile(on_resume, lab.profile())
    owner.set_setting(profile, "on-resume", on_resume)
    session = UserSession(owner, profile, owner.new_tunnel(profile))
    session.connect()
    return session


def held(lab: Lab, logind: Logind) -> list[list[object]]:
    """What logind is to wait for because of sessions."""
    return [one[:4] for one in logind.inhibitors(lab.watcher)]


INHIBITOR = [["sleep", "openvpn3-sessionmgr", "VPN sessions are to be paused or ended", "delay"]]


@pytest.mark.parametrize("first", ["logind", "session"])
def test_it_is_paused_before_the_machine_sleeps(lab: Lab, first: str) -> None:
    logind = lab.logind()
    lab.server()
    service = lab.supervisor()
    if first == "logind":
        logind.start(lab.bus, lab.watcher)
    session = connected(lab, "pause")
    if first == "session":
        logind.start(lab.bus, lab.watcher)
    until(lambda: held(lab, logind) == INHIBITOR)
    logind.begin_sleep(lab.watcher)
    until(lambda: held(lab, logind) == [])
    assert session.get("status") == [2, PAUSED, ""]
    assert "Reason: the machine sleeps" in [text for *_, text in session.user.statuses(session.path)]
    logind.wake(lab.watcher)
    service.process.wait_line(SLEPT)
    assert session.get("status")[1] == PAUSED
    assert held(lab, logind) == []
    before = session.seen
    session.call("Resume")
    session.wait(CONNECTED, before)
    assert lab.echo(TUNNEL_ADDRESS, b"x") == b"x"
    until(lambda: held(lab, logind) == INHIBITOR)
    session.call("Disconnect")
    until(lambda: held(lab, logind) == [])
    logind.stop()


def test_one_that_was_taken_over_is_paused_too(lab: Lab) -> None:
    logind = lab.logind()
    logind.start(lab.bus, lab.watcher)
    lab.server()
    service = lab.supervisor()
    session = connected(lab, "pause")
    service.process.signal(signal.SIGKILL)
    service.process.wait()
    lab.supervisor()
    until(lambda: held(lab, logind) == INHIBITOR)
    logind.begin_sleep(lab.watcher)
    until(lambda: held(lab, logind) == [])
    assert session.get("status")[1] == PAUSED
    logind.wake(lab.watcher)
    logind.stop()


def test_it_is_ended_before_the_machine_sleeps(lab: Lab) -> None:
    logind = lab.logind()
    logind.start(lab.bus, lab.watcher)
    lab.server()
    lab.supervisor()
    session = connected(lab, "disconnect")
    worker = session.worker
    until(lambda: held(lab, logind) == INHIBITOR)
    logind.begin_sleep(lab.watcher)
    until(lambda: held(lab, logind) == [])
    assert not worker.is_running()
    assert lab.client_side.devices() == {"cable"}
    logind.wake(lab.watcher)
    logind.stop()


def test_logind_waits_for_nobody_who_only_connects_anew(lab: Lab) -> None:
    logind = lab.logind()
    logind.start(lab.bus, lab.watcher)
    lab.server()
    service = lab.supervisor()
    session = connected(lab, "reconnect")
    logind.sleep(lab.watcher)
    service.process.wait_line(SLEPT)
    assert held(lab, logind) == []
    assert session.get("status")[1] != PAUSED
    logind.stop()


def test_a_logind_that_does_not_let_us(lab: Lab) -> None:
    logind = lab.logind(inhibit=False)
    logind.start(lab.bus, lab.watcher)
    lab.server()
    service = lab.supervisor()
    session = connected(lab, "pause")
    service.process.wait_line("The machine may sleep before sessions are paused or ended: systemd-logind: ")
    before = session.seen
    logind.begin_sleep(lab.watcher)
    session.wait(PAUSED, before)
    logind.stop()


def test_a_logind_that_stands_still(lab: Lab) -> None:
    logind = lab.logind()
    logind.start(lab.bus, lab.watcher)
    lab.server()
    lab.supervisor()
    logind.freeze()
    session = connected(lab, "pause")
    session.call("Disconnect")
    until(lambda: lab.client_side.devices() == {"cable"})
    logind.thaw()
    until(lambda: held(lab, logind) == [])
    logind.stop()


def test_a_logind_that_starts_anew(lab: Lab) -> None:
    logind = lab.logind()
    logind.start(lab.bus, lab.watcher)
    lab.server()
    lab.supervisor()
    connected(lab, "pause")
    until(lambda: held(lab, logind) == INHIBITOR)
    logind.stop()
    logind.start(lab.bus, lab.watcher)
    until(lambda: held(lab, logind) == INHIBITOR)
    logind.stop()


def test_a_session_that_takes_too_long_keeps_no_machine_awake(lab: Lab) -> None:
    logind = lab.logind()
    logind.start(lab.bus, lab.watcher)
    lab.server()
    service = lab.supervisor("--stopped-grace=0")
    session = connected(lab, "pause")
    until(lambda: held(lab, logind) == INHIBITOR)
    worker = session.worker
    worker.send_signal(signal.SIGSTOP)
    logind.begin_sleep(lab.watcher)
    until(lambda: held(lab, logind) == [])
    service.process.wait_line("Not all sessions were paused or ended in 4 s before the sleep")
    worker.send_signal(signal.SIGCONT)
    session.wait(PAUSED)
    logind.wake(lab.watcher)
    logind.stop()
