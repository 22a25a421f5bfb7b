"""A service that is killed, and the next one: sessions go on as if nothing had happened."""

import signal

from ...lab.lab import Lab
from ...lab.service import Service
from ...support.flow import flowing
from ...support.sessions import begin

TUNNEL = "198.18.0.1"


def kill(service: Service) -> None:
    service.process.signal(signal.SIGKILL)
    service.process.wait()


def test_traffic_goes_on_and_so_does_the_session(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    before = session.user.get_all(session.path)
    with flowing(lab, TUNNEL) as flow:
        kill(service)
        flow.wait_for(200)
        service = lab.supervisor()
        service.process.wait_line("Took over 1 sessions")
        flow.wait_for(200)
        seen = session.seen
        after = session.user.get_all(session.path)
        counts = flow.stop()
    assert counts["lost"] == 0, counts
    changing = {"statistics", "last_log"}
    assert {k: v for k, v in after.items() if k not in changing} == {k: v for k, v in before.items() if k not in changing}
    assert after["statistics"]["BYTES_IN"] > before["statistics"]["BYTES_IN"]
    session.call("Pause", "s", "lunch")
    session.wait(14, since=seen)
    session.call("Resume")
    session.wait(7, since=seen)
    session.call("Disconnect")
