"""A session without an engine and without a supervisor, from its beginning to its end, in a millisecond.

It is for what running it leaves behind in code and classes.  What the two would say stands here, and comes through
sockets as theirs does; nothing is confined, started, or set.
"""

import os
import selectors
import socket

from ...ipc import messages
from ...ipc.channel import channel_pair
from ...ipc.codec import encode
from ...policy.limits import MAX_FRAME
from ...policy.profile.overrides import SessionOverrides
from ..profile.overrides import compile_with_overrides
from ..session import events, requests
from ..session.engine import Engine
from ..session.management import ManagementConnection
from ..session.phases import Event, Phase
from ..session.remotes import Remotes
from ..session.session import WorkerSession
from ..session.timers import Timers

_PROFILE = b"client\ndev tun\nremote 192.0.2.1 1194 udp\nauth-user-pass\n<ca>\nca\n</ca>\n"

# (phase in which it is said, what the supervisor says, and then the engine)
_COURSE: tuple[tuple[messages.ToWorker | None, str], ...] = (
    (messages.SupervisorHello(messages.MAJOR, messages.MINOR), ""),
    (None, ">INFO:OpenVPN Management Interface Version 5\n>HOLD:Waiting for hold release:0\nSUCCESS: hold release"),
    (messages.LogCredit(100), "SUCCESS: pid=1"),
    (messages.SetLogLevel(6), "SUCCESS: real-time state notification set to ON"),
    (messages.Ping(), ">STATE:1,RESOLVE,,,,,,"),
    (messages.Connect(1), ">STATE:1,WAIT,,,,,,\n>STATE:1,AUTH,,,,,,\n>STATE:1,GET_CONFIG,,,,,,"),
    (None, ">LOG:1,I,TCP/UDP: Preserving recently used remote address: [AF_INET]192.0.2.1:1194"),
    (None, ">LOG:1,I,UDPv4 link local: (not bound)\n>LOG:1,I,UDPv4 link remote: [AF_INET]192.0.2.1:1194"),
    (None, ">LOG:1,,VERIFY OK: depth=0, CN=server\n>LOG:1,W,WARNING: this is one\n>BYTECOUNT:3000,4000"),
    (None, ">LOG:1,,Control Channel: TLSv1.3, cipher TLSv1.3 TLS_AES_256_GCM_SHA384, peer certificate: 256 bit EC"),
    (None, ">LOG:1,,Data Channel: cipher 'AES-256-GCM', peer-id: 0"),
    (
        None,
        ">LOG:1,,PUSH: Received control message: 'PUSH_REPLY,route 198.51.100.0 255.255.255.0,"
        "route-ipv6 2001:db8:1::/48,dhcp-option DNS 198.18.0.1,dhcp-option DOMAIN example.org,"
        "route-gateway 198.18.0.1,topology subnet,ping 10,ifconfig-ipv6 2001:db8::2/64 2001:db8::1,"
        "ifconfig 198.18.0.2 255.255.255.0,peer-id 0,cipher AES-256-GCM'",
    ),
    (None, ">STATE:1,ASSIGN_IP,,198.18.0.2,,,,"),
    (
        None,
        ">UPDOWN:UP\n>UPDOWN:ENV,ifconfig_local=198.18.0.2\n>UPDOWN:ENV,ifconfig_netmask=255.255.255.0\n"
        ">UPDOWN:ENV,ifconfig_ipv6_local=2001:db8::2\n>UPDOWN:ENV,ifconfig_ipv6_netbits=64\n"
        ">UPDOWN:ENV,ifconfig_ipv6_remote=2001:db8::1\n>UPDOWN:ENV,tun_mtu=1500\n>UPDOWN:ENV,dev=tun0\n"
        ">UPDOWN:ENV,route_vpn_gateway=198.18.0.1\n>UPDOWN:ENV,END",
    ),
    (None, ">STATE:1,CONNECTED,SUCCESS,198.18.0.2,192.0.2.1,1194,,,2001:db8::2"),
    (None, "SUCCESS: nclients=0,bytesin=3000,bytesout=4000\n>BYTECOUNT:5000,6000"),
    (messages.Disconnect(), ""),
)


class _NoEngine(Engine):
    """An engine without a process."""

    def __init__(self) -> None:
        self.pidfd = -1
        self._hosts = os.memfd_create("hosts")

    def close(self) -> None:
        os.close(self._hosts)


def rehearse() -> None:
    """Let a session run its course.  Raises whatever is wrong with it."""
    supervisor, worker = channel_pair()
    theirs, ours = socket.socketpair()
    engine = _NoEngine()
    received = memoryview(bytearray(MAX_FRAME + 1))
    session = WorkerSession(worker, Timers())
    management = session.downlink.connection = ManagementConnection(ours)
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(worker.fileno(), selectors.EVENT_READ)
            selector.register(ours.fileno(), selectors.EVENT_READ)
            for request, said in _COURSE:
                if request is not None:
                    supervisor.send(encode(request))
                    selector.select(0)
                    packet = worker.receive_into(received)
                    try:
                        requests.handle(session, packet)
                    finally:
                        packet.close()
                if session.engine is None:
                    _begin(session, engine)
                theirs.sendall(f"{said}\n".encode() if said else b"")
                selector.select(0)
                for event in management.read()[0]:
                    events.handle(session, event)
                session.timers.run_due()
        finally:
            engine.close()
            for end in (supervisor, worker, theirs, ours):
                end.close()
    if not session.attempts.connected_once or session.phase is not Phase.STOPPING:
        raise RuntimeError("the session that was rehearsed has not run its course")


def _begin(session: WorkerSession, engine: Engine) -> None:
    """As the session does it in `begin`, which forks."""
    profile = session.profile = compile_with_overrides(_PROFILE, {})
    session.attempts.connect_deadline = 60
    session.set_log_level(profile.verbosity)
    session.attempts.remotes = Remotes(profile.remotes, random_names=profile.random_names)
    session.device.prepare(profile.network, SessionOverrides(), dns_required=False)
    session.engine = engine
    session.machine.happened(Event.ENGINE_STARTED)
