"""What is in force of a session: what the kernel and the resolver say now, beside what its engine has reported."""

import msgspec

from ...policy.access import Acl
from ..dns.backend import NamesInForce
from ..dns.names import Names
from ..errors import SystemFailure
from ..network.apply import Network
from ..network.device_info import mtu
from ..network.in_force import InForce
from .session import Session
from .states import State


class Look(msgspec.Struct, frozen=True):
    """The properties of bus/status_api.py."""

    connected_since: int
    last_handshake: int
    tls: str
    cipher: str
    addresses: list[str]
    gateways: list[str]
    mtu: int
    routes: list[tuple[str, str, int, int]]
    more_routes: int
    rules: list[str]
    default_route: list[str]
    name_servers: list[str]
    domains: list[str]
    pending: list[tuple[str, str]]
    more_pending: int
    unknown: list[str]


class SessionInForce:
    """Answers that interface."""

    def __init__(self, session: Session, network: Network, names: Names) -> None:
        self._session = session
        self._network = network
        self._names = names

    @property
    def acl(self) -> Acl:
        return self._session.acl

    async def look(self) -> Look:
        """Ask kernel and resolver; what one of them does not tell is among `unknown`."""
        run = self._session.run
        device = run.device if run is not None else ""
        unknown = []
        try:
            found = await self._network.look(device) if device else InForce()
        except SystemFailure as error:
            found = InForce()
            unknown.append(str(error))
        try:
            names = await self._names.look(device) if device else NamesInForce((), ())
        except SystemFailure as error:
            names = NamesInForce((), ())
            unknown.append(str(error))
        session = self._session
        negotiated = session.negotiated
        return Look(
            connected_since=session.connected_since if session.state is State.CONNECTED else 0,
            last_handshake=negotiated.handshake if negotiated else 0,
            tls=negotiated.tls if negotiated else "",
            cipher=negotiated.cipher if negotiated else "",
            addresses=found.addresses,
            gateways=list(negotiated.gateways) if negotiated and found.addresses else [],
            mtu=mtu(device) if device else 0,
            routes=[(one.destination, one.way, one.metric, one.table) for one in found.routes],
            more_routes=found.more_routes,
            rules=found.rules,
            default_route=found.default_route,
            name_servers=list(names.servers),
            domains=list(names.domains),
            pending=[*found.pending, *self._names.lacks(device)],
            more_pending=found.more_pending,
            unknown=unknown,
        )
