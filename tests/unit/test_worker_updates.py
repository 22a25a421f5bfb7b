"""What a worker makes of an update of what the server pushed: its session stays connected."""

import pytest

from ...ipc import messages
from ...worker.profile.values import Remote
from ...worker.session.phases import Phase
from ...worker.session.remotes import Remotes
from ..support.bare_worker import BareWorker, bare_worker

SERVER = "198.51.100.1"
KINDS = (messages.ApplyNetwork, messages.Connected, messages.ClearNetwork, messages.Reconnecting)


def pushes(worker: BareWorker, *words: str) -> None:
    worker.engine_says(f">LOG:1,,PUSH: Received control message: '{','.join(words)}'")


def device_up(worker: BareWorker, address: str = "198.18.0.2") -> None:
    worker.session.device.up({"ifconfig_local": address, "ifconfig_netmask": "255.255.255.0"})


def is_connected(worker: BareWorker) -> None:
    worker.engine_says(f">STATE:1,CONNECTED,SUCCESS,198.18.0.2,{SERVER},1194")


def connect(worker: BareWorker, *options: str, persistent: bool = False) -> None:
    """The engine connects, with a new device unless that is `persistent`."""
    worker.session.attempts.remotes = Remotes([Remote(SERVER, 1194, "udp")])
    worker.session.attempts.looking_up.clear()
    worker.engine_says(f">LOG:1,I,UDPv4 link remote: [AF_INET]{SERVER}:1194")
    pushes(worker, "PUSH_REPLY", *options)
    if not persistent:
        device_up(worker)
    is_connected(worker)
    worker.engine_says("SUCCESS: nclients=0,bytesin=1,bytesout=2")
    worker.commands()


def told(worker: BareWorker) -> list[str]:
    """What is said of network and connection; of settings, the routes."""
    return [
        " ".join(route.destination for route in one.settings.routes)
        if isinstance(one, messages.ApplyNetwork)
        else type(one).__name__
        for one in worker.said()
        if isinstance(one, KINDS)
    ]


def update(worker: BareWorker, *options: str) -> None:
    pushes(worker, "PUSH_UPDATE", *options)
    worker.session.device.down()


def test_the_settings_change_and_nothing_else_is_reported() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        connect(worker, "route 203.0.113.1")
        assert told(worker) == ["203.0.113.1/32", "Connected"]
        for address in ("203.0.113.2", "203.0.113.3"):
            update(worker, f"route {address}")
            device_up(worker)
            is_connected(worker)
            assert told(worker) == [f"{address}/32"]
            assert worker.commands() == []
        worker.engine_says(">STATE:1,RECONNECTING,ping-restart")
        worker.session.device.down()
        assert told(worker) == ["Reconnecting", "ClearNetwork"]


@pytest.mark.parametrize("warned", [False, True])
def test_an_update_that_the_engine_refuses(warned: bool) -> None:
    """Some it does not let change, others it cannot read."""
    with bare_worker(Phase.RUNNING) as worker:
        connect(worker, "route 203.0.113.1")
        told(worker)
        option = "route 203.0.113.2" if warned else "ping 1"
        pushes(worker, "PUSH_UPDATE", option)
        if warned:
            worker.engine_says(f">LOG:1,N,WARNING: Received bad push/pull message: PUSH_UPDATE,{option}")
        worker.session.device.down()
        worker.engine_says(">STATE:1,RECONNECTING,Offending option received from server")
        assert told(worker) == ["ClearNetwork", "Reconnecting"]
        connect(worker, "route 203.0.113.1")
        assert told(worker) == ["203.0.113.1/32", "Connected"]


def test_a_connection_that_is_lost_meanwhile() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        connect(worker)
        told(worker)
        update(worker, "route 203.0.113.1")
        worker.engine_says(">STATE:1,RECONNECTING,ping-restart")
        assert told(worker) == ["ClearNetwork", "Reconnecting"]


def test_a_connection_that_has_to_be_reported_once_more_while_the_device_is_gone() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        connect(worker)
        told(worker)
        update(worker, "route 203.0.113.1")
        worker.session.device.report_again()
        device_up(worker)
        is_connected(worker)
        assert told(worker) == ["Connected", "203.0.113.1/32"]


def test_a_device_that_persists_loses_what_was_updated_with_the_connection() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        connect(worker, "route 203.0.113.1")
        update(worker, "route 203.0.113.2")
        device_up(worker)
        is_connected(worker)
        worker.engine_says(">STATE:1,RECONNECTING,ping-restart")
        told(worker)
        for expected in (["203.0.113.1/32", "Connected"], ["Connected"]):
            connect(worker, "route 203.0.113.1", persistent=True)
            assert told(worker) == expected
            worker.engine_says(">STATE:1,RECONNECTING,ping-restart")
            assert told(worker) == ["Reconnecting"]


def test_a_reply_that_is_interrupted_does_not_go_on() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        pushes(worker, "PUSH_REPLY", "route 203.0.113.1", "push-continuation 2")
        worker.engine_says(">STATE:1,RECONNECTING,ping-restart")
        told(worker)
        connect(worker, "route 203.0.113.2")
        assert told(worker) == ["203.0.113.2/32", "Connected"]
