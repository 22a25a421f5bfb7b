"""An engine that says to its worker what no engine says: the worker copes, and nobody else notices.

What a worker says to the supervisor is tried in tests/integration/hostile/test_worker.py.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..lab.connection import BusClient, BusError
from ..lab.lab import Lab
from ..lab.pki import Pki
from ..lab.processes import Process
from ..support.sessions import UserSession
from .victims import SECRET, Victims, log_in

ON_ITS_WAY = ">LOG:1,I,link remote: [AF_INET]198.51.100.1:1194"
CONNECTED = ">STATE:1,CONNECTED,SUCCESS,192.0.2.9,198.51.100.1,1194,,"
RECONNECTING = ">STATE:1,RECONNECTING,ping-restart,,,,,"
NEEDS_LOGIN = ">PASSWORD:Need 'Auth' username/password"


@dataclass
class HostileEngines:
    """A service, alice, whose engines are hostile, and a session of bob's that must not notice anything."""

    lab: Lab
    service: Process
    alice: BusClient
    bystander: UserSession


@pytest.fixture(scope="module")
def engines(pki: Pki, program: Path) -> Iterator[HostileEngines]:
    """One service for all tests of this file."""
    with Lab(pki) as lab, Victims(lab, program) as victims, victims.service("available") as service:
        bystander = log_in(lab, lab.connection("bob"), "victim", SECRET)
        service.wait_line("now a victim")
        yield HostileEngines(lab, service, lab.connection("alice"), bystander)


def up(*environment: str) -> str:
    """The lines that say that the device is there, with these variables."""
    lines = (ON_ITS_WAY, ">UPDOWN:UP", *(f">UPDOWN:ENV,{one}" for one in environment), ">UPDOWN:ENV,END")
    return "".join(f"{line}|" for line in lines)


def pushed(*options: str) -> str:
    """The line that says what the server pushed."""
    return f">LOG:1,I,PUSH: Received control message: '{','.join(('PUSH_REPLY', *options))}'"


# Name of the case: how often the engine says what, and what the service's log has afterwards.
SPEECHES = {
    "loopback-address": (
        f"1 {up('ifconfig_local=127.0.0.1')}",
        "network settings cannot be used: address 127.0.0.1/32",
    ),
    "mtu": (f"1 {up('ifconfig_local=192.0.2.9', 'tun_mtu=9')}", "network settings cannot be used: MTU 9"),
    "route-to-server": (f"1 {pushed('route 198.51.100.1')}|{up()}", "route 198.51.100.1/32 left out"),
    "no-address": (f"1 {up('ifconfig_local=x', 'ifconfig_netmask=y')}", "address x with netmask y is invalid"),
    "route-to-loopback": (f"1 {pushed('route 127.0.0.1')}|{up()}", "route 127.0.0.1/32 left out"),
    "absurd-counters": (f"1 {CONNECTED}|SUCCESS: bytesin={'9' * 18},bytesout=1|", "→ CONNECTED on ENGINE_CONNECTED"),
    "reconnecting-in-a-row": (
        f"100 {CONNECTED}|{RECONNECTING}|",
        "more than 16 times in a second",
    ),
    "line-without-end": ("400 " + "x" * 200, "a management line is too long"),
    "login-wanted-in-a-row": (f"9999 {NEEDS_LOGIN}|", "The engine does not read its commands"),
    "file-as-web-page": ("1 >INFOMSG:OPEN_URL:file:///etc/passwd|", "a URL that is not a web page"),
    "challenge-in-pieces": (
        "1 >PASSWORD:Verification Failed: 'Auth' ['CRV1:R,E:x']|",
        "the server's challenge is malformed",
    ),
    "script-as-web-page": ("1 >INFOMSG:WEB_AUTH::javascript:x|", "a URL that is not a web page"),
    "unknown-question": ("1 >PASSWORD:Need 'x' y|", "the engine asks for 'x', which is not supported"),
    "events-in-pieces": (
        "1 >STATE:|>HOLD:|>BYTECOUNT:x|>UPDOWN:ENV,x|>UPDOWN:ENV,END|>CLIENT:|>LOG:1,I,look here|",
        "look here",
    ),
}


@pytest.mark.parametrize("case", SPEECHES)
def test_an_engine_that_says(engines: HostileEngines, case: str) -> None:
    """The outcome is in the log; it may be the session's end, but a fault of nobody's."""
    words, outcome = SPEECHES[case]
    told, log = engines.bystander.seen, len(engines.service.lines)
    session = log_in(engines.lab, engines.alice, "say", words)
    engines.service.wait_line(outcome, since=log)
    with contextlib.suppress(BusError):  # it may be over
        session.call("Disconnect")
    assert engines.bystander.engine.is_running()
    assert engines.bystander.user.statuses(engines.bystander.path, told) == []
    for trouble in ("The worker failed", "Internal error", "Traceback"):
        assert trouble not in engines.service.text
