"""The D-Bus object of a session: its methods and properties are attributes of these names.

Everything is answered from what the supervisor keeps; only the statistics wait for the worker, a moment at most.
"""

import asyncio
from collections.abc import Awaitable

from dbus_fast import Variant

from ...ipc import messages
from ...policy.access import Acl, Caller
from ...policy.causes import Cause
from ...policy.dbus_numbers import InputGroup, LogCategory, LogGroup, shown
from ...policy.limits import FORWARD_HEARD
from ..errors import InvalidValue, NotReady, RequestRefused, SystemFailure
from ..services.log_service import check_log_level
from . import sharing
from .device_object import DeviceObjects
from .session import Session
from .states import RELEASED, Event, NotNow, State

_BEFORE_CONNECT = (State.READY, State.PARKED, State.NEEDS_INPUT)
_NOT_NOW = {
    Event.PAUSE: "Connection is already paused",
    Event.RESUME: "Connection is not paused",
}


class SessionObject:
    """What clients see of a session and can do with it."""

    dco = False

    def __init__(self, session: Session, devices: DeviceObjects) -> None:
        self._session = session
        self._devices = devices
        # Plain attributes that never change; the others are looked up.
        self.session_created = session.created
        self.config_path = session.config_path
        self.config_name = session.config_name

    # Properties

    @property
    def acl(self) -> Acl:
        return self._session.acl

    def set_public_access(self, caller: Caller, value: bool) -> None:
        self._session.acl.public = value
        self._session.note()

    @property
    def status(self) -> tuple[int, int, str]:
        return self._session.status

    @property
    def backend_pid(self) -> int:
        return self._session.backend_pid

    @property
    def device_path(self) -> str:
        return self._devices.path_of(self._session)

    @property
    def device_name(self) -> str:
        return self._session.device_name

    @property
    def connected_to(self) -> tuple[str, str, int]:
        server = self._session.server
        return server.proto, server.address, server.port

    @property
    def session_name(self) -> str:
        return self._session.server.name

    def set_dco(self, caller: Caller, value: bool) -> None:
        if self._session.state not in _BEFORE_CONNECT:
            raise InvalidValue("DCO mode cannot be changed now")
        if value:
            # openvpn2 sets it at every start, and takes a refusal as the end.
            text = "Data channel offload is not used: it takes privileges no session has"
            self._session.log.write(LogCategory.WARN, text, user=caller.uid)

    @property
    def log_verbosity(self) -> int:
        return self._session.log.level

    def set_log_verbosity(self, caller: Caller, level: int) -> None:
        check_log_level(level)
        self._check_congestion()
        self._session.set_log_level(level)

    @property
    def restrict_log_access(self) -> bool:
        return self._session.audience.forwards.restricted

    def set_restrict_log_access(self, caller: Caller, value: bool) -> None:
        self._session.audience.forwards.restricted = value
        self._session.note()

    @property
    def log_forwards(self) -> list[str]:
        return self._session.audience.forwards.paths

    @property
    def statistics(self) -> dict[str, int]:
        return self._session.statistics.values()

    def count(self) -> Awaitable[None] | None:
        """What to await until the statistics are as they are now; None if they are."""
        run = self._session.run
        if run is None or self._session.state not in RELEASED:
            return None
        return run.count(self._session.device_name)

    @property
    def last_log(self) -> dict[str, Variant]:
        group, category, text = self._session.log.last
        return {
            "log_group": Variant("u", group),
            "log_category": Variant("u", category),
            "log_message": Variant("s", text),
        }

    # Methods

    def ready(self, caller: Caller) -> None:
        self._session.audience.watch(caller)
        if self._session.user_input.missing:
            raise NotReady("Missing user credentials")
        if self._session.state is State.WEB_AUTH:
            raise NotReady("Pending web authentication")

    def connect(self, caller: Caller) -> Awaitable[None] | None:
        return self._request_connection(caller, Event.CONNECT)

    def pause(self, caller: Caller, reason: str) -> None:
        self._request(caller, Event.PAUSE, reason)

    def resume(self, caller: Caller) -> None:
        self._request(caller, Event.RESUME)

    def restart(self, caller: Caller) -> Awaitable[None] | None:
        return self._request_connection(caller, Event.RESTART)

    async def disconnect(self, caller: Caller) -> None:
        """End the session; returns when its object is removed and its network settings are undone."""
        self._request(caller, Event.DISCONNECT)
        self._session.lock.let_go(self._session.ended)
        await self._session.network_cleared()

    def access_grant(self, caller: Caller, uid: int) -> None:
        sharing.grant(self._session, uid)

    def access_revoke(self, caller: Caller, uid: int) -> None:
        sharing.revoke(self._session, uid)

    def log_forward(self, caller: Caller, enable: bool) -> None:
        """Answers LogForward; whoever may not read the log gets statuses, since clients do not expect a denial.

        What was left out or changed before, most of it before there was an object to call, is said again in a moment.
        """
        session, forwards = self._session, self._session.audience.forwards
        session.audience.watch(caller)
        if enable and caller.name not in forwards:
            forwards.add(caller)
            # Clients of the original listen only when they have the answer, and nothing tells when they do.
            asyncio.get_running_loop().call_later(FORWARD_HEARD, self._say_notices, caller)
        elif not enable:
            forwards.remove(caller)
        session.note()

    def _say_notices(self, receiver: Caller) -> None:
        session = self._session
        if shown(LogCategory.WARN, session.log.level):
            for notice in session.notices.all:
                session.audience.forwards.line_to(receiver, LogGroup.CLIENT, LogCategory.WARN, notice)

    def user_input_queue_get_type_group(self, caller: Caller) -> list[tuple[int, int]]:
        self._session.audience.watch(caller)
        return self._session.user_input.groups()

    def user_input_queue_check(self, caller: Caller, kind: int, group: int) -> list[int]:
        return self._session.user_input.open_numbers(kind, group)

    def user_input_queue_fetch(
        self, caller: Caller, kind: int, group: int, number: int
    ) -> tuple[int, int, int, str, str, bool]:
        return self._session.user_input.question(kind, group, number)

    def user_input_provide(self, caller: Caller, kind: int, group: int, number: int, value: str) -> None:
        self._session.audience.watch(caller)
        self._check_version()
        self._check_congestion()

        def forward(name: str) -> None:
            self._session.answer(messages.UserAnswer(InputGroup(group), name, memoryview(value.encode())))

        self._session.user_input.answer(kind, group, number, value, forward)

    def _request_connection(self, caller: Caller, event: Event) -> Awaitable[None] | None:
        """Begin to connect, or do so anew."""
        self._session.audience.watch(caller)
        held = self._session.state in _BEFORE_CONNECT
        if held and self._session.user_input.missing:
            raise RequestRefused("Required user input not provided")
        if held and self._session.lock.due:
            return self._request_when_locked(caller, event)
        self._request(caller, event)
        return None

    async def _request_when_locked(self, caller: Caller, event: Event) -> None:
        try:
            await self._session.lock.hold()
        except SystemFailure as error:
            self._session.network_lost(f"The kill switch cannot be switched on: {error}", Cause.SERVICE_FAILED)
        else:
            self._request(caller, event)

    def _request(self, caller: Caller, event: Event, text: str = "") -> None:
        self._session.audience.watch(caller)
        if event is not Event.DISCONNECT:
            self._check_version()
            self._check_congestion()
        try:
            self._session.happened(event, text)
        except NotNow:
            raise RequestRefused(_NOT_NOW.get(event, "Backend service is not initialized")) from None

    def _check_version(self) -> None:
        """Raise RequestRefused if nobody can tell the worker of it."""
        if self._session.run is not None and self._session.run.foreign:
            raise RequestRefused("The session is from another version of the service: it can only be disconnected")

    def _check_congestion(self) -> None:
        """Raise RequestRefused while the worker has much left to read: a burst breaks no rule."""
        run = self._session.run
        if run is not None and run.congested:
            raise RequestRefused("The session has earlier requests left to do; try again in a moment")
