"""What is set on devices follows what others give up, and changes of the machine's own ways.

To be used in the network's thread; each step is one request to the kernel, or none.
"""

from collections.abc import Callable, Iterator, Mapping

from ...policy.dbus_numbers import LogGroup
from ..errors import SystemFailure
from ..logging.log import Log
from . import machine
from .claims import Claims
from .default_route.redirecting import Redirecting
from .routes import Device, Routes
from .surroundings import Machine


class Following:
    """Changes that no session has asked for at that moment."""

    def __init__(
        self,
        devices: Mapping[str, Device],
        claims: Claims,
        routes: Routes,
        redirecting: Redirecting,
        machine_now: Callable[[bool], Machine],
        log: Log,
        notice: Callable[[str, str], None],
    ) -> None:
        """`devices` are all, by name, as they are at any time.

        `machine_now` looks at the machine, if asked for them at its ways too.  `notice` is called with what a session's
        log is to say.
        """
        self._devices = devices
        self._claims = claims
        self._routes = routes
        self._redirecting = redirecting
        self._machine = machine_now
        self._log = log
        self._notice = notice

    def settle(self) -> Iterator[None]:
        """Set what is pending and no longer in anybody's way, request by request."""
        for granted in self._claims.settle():
            if granted is not None:
                name, route = granted
                device = self._devices[name]
                if not device.changing:  # or it is set with the rest
                    try:
                        if not self._routes.set(device, route):
                            self._notice(device.entry.session, f"route {route.destination} was pending and is set now")
                    except SystemFailure as error:
                        self._log.error(str(error), group=LogGroup.NETCFG, session=device.entry.session)
            yield
        for has_it in self._redirecting.settle():
            device = self._devices[has_it]
            if device.change is not None and not device.changing:
                yield from self._redirect_late(device)
            yield

    def _redirect_late(self, device: Device) -> Iterator[None]:
        """Set the default route of a session that waited for it."""
        warnings: list[str] = []
        try:
            yield from self._redirecting.apply(device.entry.session, device.versions, warnings)
        except SystemFailure as error:
            self._redirecting.release(device.entry.session)
            warnings.append(str(error))
        else:
            warnings.append("all traffic goes through the tunnel now")
        for text in warnings:
            self._notice(device.entry.session, text)

    def _follow_past(self) -> Iterator[None]:
        """Have routes past tunnels go by the machine's gateways of now, and set again what the kernel has dropped."""
        names = self._claims.going_past
        if not names:
            return
        present = set(machine.routes_past())
        self._claims.follow(self._machine(True))
        for name in names:
            device = self._devices.get(name)
            if device is None or device.change is None or device.changing:
                continue
            change = device.change
            granted = [route for route in self._claims.routes(name) if route.way is not None]
            stale = [route for route in device.routes if route.way is not None and route not in granted]
            missing = [route for route in granted if route.as_dumped not in present]
            device.routes.difference_update(missing)
            for route in (*stale, *missing):
                if device.change is not change:
                    break  # something else was asked for meanwhile
                if route in device.routes:
                    self._routes.remove(device, route)
                elif problem := self._routes.set(device, route):
                    self._notice(device.entry.session, problem)
                yield

    def look_again(self) -> Iterator[bool]:
        """Have default routes and what goes past tunnels follow changes; yields whether rules of ours were missing."""
        missing = False
        try:
            for missing in self._redirecting.look_again():
                yield missing
        except SystemFailure as error:
            self._log.error(f"Default routes of sessions do not follow the machine's: {error}", group=LogGroup.NETCFG)
        try:
            for _ in self._follow_past():
                yield missing
        except SystemFailure as error:
            self._log.error(f"Routes past tunnels do not follow the machine's: {error}", group=LogGroup.NETCFG)
        if missing:
            for session in self._redirecting.sessions:
                self._notice(
                    session,
                    "another program removed rules or routes of the tunnel's default route; they are there again",
                )
