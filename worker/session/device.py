"""The engine's device: the network settings that are asked for it, and the connection that is reported after these."""

from collections.abc import Mapping

from ...ipc import messages
from ...policy.causes import Cause
from ...policy.dbus_numbers import LogCategory
from ...policy.network import NetworkSettings, PolicyViolation, check
from ...policy.profile.overrides import SessionOverrides
from ...policy.reports import About
from . import dns_settings, network_settings
from .attempts import Attempts
from .negotiation import Negotiation
from .phases import PhaseMachine
from .pushed import Pushed
from .route_names import RouteNames
from .routes import Options, Routes, Tunnel
from .uplink import Uplink


class Device:
    """The device of one session's engine, and the connection that it is for."""

    def __init__(
        self,
        uplink: Uplink,
        machine: PhaseMachine,
        attempts: Attempts,
        route_names: RouteNames,
        negotiation: Negotiation,
    ) -> None:
        self._uplink = uplink
        self._machine = machine
        self._attempts = attempts
        self._route_names = route_names
        self._negotiation = negotiation
        self._of_profile: Options = ()  # its options about addresses, routes and DNS
        self._overrides = SessionOverrides()
        self._dns_required = False
        self.pushed = Pushed()
        self._settings: NetworkSettings | None = None  # asked for last
        self._environment: Mapping[str, str] = {}  # of the device, when the engine had it last
        self._of_update = False  # what is set is what the server has updated since the engine connected
        self._kept = False  # the engine has given its device up for a moment, and its settings stay meanwhile
        self._endpoint: tuple[str, str, int, str] | None = None  # protocol, address, port, name of the connection
        self._counted = False  # the bytes so far, after which the connection may be reported
        self._reported = False  # that there is this connection

    def prepare(self, of_profile: Options, overrides: SessionOverrides, *, dns_required: bool) -> None:
        """Take over what a profile says about the network; with `dns_required`, no session without its DNS."""
        self._of_profile = of_profile
        self._overrides = overrides
        self._dns_required = dns_required
        self.pushed = Pushed(of_profile)

    def heard(self, text: str) -> None:
        """Take note of a line of the engine's log: what the server pushes."""
        reopening = self.pushed.reopening
        self.pushed.heard(text)
        if self.pushed.reopening and not reopening:
            self._uplink.log(LogCategory.INFO, "The server sends other network settings")

    def up(self, environment: Mapping[str, str]) -> None:
        """The engine has its device: ask for its settings, once the names in its routes have been looked up."""
        self._environment = environment
        self._kept = self._of_update = False
        routes = Routes(self._of_profile, self.pushed.options)
        if not self.pushed.complete:
            routes.problems.append("the server pushes more than is read: options may be missing")
        options = (*self._of_profile, *self.pushed.options)
        self._negotiation.device_up(Tunnel.of(environment, (), options, "").gateways)
        dns, dns_warnings = dns_settings.requested(self._of_profile, self.pushed.options, self._overrides)
        if self._dns_required and dns is None and self._overrides.dns_setup and dns_settings.asked_for(options):
            self._machine.failed(
                "The server's network settings cannot be used: DNS, which the setting dns-required of the profile asks "
                f"for: {'; '.join(dns_warnings)}",
                Cause.SERVER_SETTINGS,
            )
            return

        def configure() -> None:
            wanted, warnings = network_settings.from_environment(
                environment,
                self._attempts.remotes.tried,
                routes=routes,
                options=options,
                found=self._route_names.found,
                dns=dns,
            )
            self._uplink.warn(About.CONNECTION, [*warnings, *dns_warnings])
            if past := [route.destination for route in wanted.routes if route.past]:
                self._uplink.log(LogCategory.INFO, f"Past the tunnel go {', '.join(past)}")
            if self._ask_for(wanted) and not self._reported:
                self.report_again()

        self._route_names.look_up(routes.names, configure)

    def down(self) -> None:
        """The engine has given its device up.  Where that is for an update, what is set stays until it is back."""
        self._route_names.stop()
        if self.pushed.reopening:
            self._kept = True
            self._uplink.tell(messages.Reopening())
        else:
            self._clear()

    def _clear(self) -> None:
        self._kept = False
        self._settings = None
        self._uplink.tell(messages.ClearNetwork())

    def connected(self, endpoint: tuple[str, str, int, str]) -> None:
        """The engine is connected: to this protocol, address and port of the server of this name."""
        self._endpoint, self._counted, self._reported = endpoint, False, False
        if self._of_update and self._settings is not None:
            self.up(self._environment)  # the device has persisted, and the new reply knows nothing of updates

    def updated(self) -> bool:
        """The engine says that it is connected: whether it is the same connection, with an update of the server."""
        updated, self.pushed.reopening = self.pushed.reopening, False
        self._of_update |= updated
        return updated

    def disconnected(self) -> None:
        """There is no connection, or it is given up."""
        self._endpoint = None
        self._uplink.standing.given_up()
        self.pushed.interrupted()
        if self._kept:
            self._clear()

    @property
    def unreported(self) -> bool:
        """Whether there is a connection that waits for the bytes so far to be counted."""
        return self._endpoint is not None and not self._counted

    def report(self) -> None:
        """Report the connection there is, once its network settings have been asked for."""
        assert self._endpoint is not None
        self._counted = True
        if not self._route_names.waiting and self._server_known():
            self._reported = True
            self._uplink.tell(messages.Connected(self._uplink.request_number, *self._endpoint))

    def report_again(self) -> None:
        """Report the connection there is, if it is one whose turn has come before."""
        if self._endpoint is not None and self._counted:
            self.report()

    def _server_known(self) -> bool:
        """Have the routes of others keep off the server to which the engine talks by now; False if that fails.

        With a device that persists, the engine does not say that its settings hold for another server.
        """
        server, settings = self._attempts.remotes.tried, self._settings
        if settings is None or settings.server == server:
            return True
        return self._ask_for(network_settings.moved(settings, server))

    def _ask_for(self, wanted: NetworkSettings) -> bool:
        """Ask for settings of the device; False if they are not acceptable, and the session has failed."""
        try:
            check(wanted)
        except PolicyViolation as error:
            self._machine.failed(f"The server's network settings cannot be used: {error}", Cause.SERVER_SETTINGS)
            return False
        self._settings = wanted
        self._uplink.tell(messages.ApplyNetwork(wanted))
        return True
