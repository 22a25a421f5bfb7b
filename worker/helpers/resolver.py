"""The resolver: turns host names into addresses for all sessions, so that nothing in a sandbox needs a resolver.

Each look-up runs in a process forked for it: a name server that does not answer holds up that look-up alone, a
cancelled one is killed, and each sees the resolv.conf of the moment.
"""

import os
import selectors
import signal
import socket
import time

import msgspec

from ...ipc import helpers
from ...ipc.channel import BadFrame, Channel, ChannelClosed
from ...policy.exit_status import ExitStatus
from ...policy.limits import MAX_FRAME, MAX_LOOKUPS_PER_SESSION, MAX_RESOLVED, MAX_SESSIONS, RESOLVE_DEADLINE
from .chosen_servers import ask_only
from .keeper import Keeper, KeeperGone

_MAX_LOOKUPS = MAX_LOOKUPS_PER_SESSION * MAX_SESSIONS


class _Lookup(msgspec.Struct):
    """One look-up under way in a process of its own."""

    request: helpers.Lookup
    pid: int
    pipe: int  # the process writes its LookupResult here, and ends
    deadline: float  # time.monotonic()
    answer: bytes = b""


def serve(supervisor: Channel, keeper: Keeper, *, anew: bool) -> None:
    """Answer look-ups until the supervisor closes its end; `anew` in the place of a process that died.

    Raises KeeperGone; whoever serves then is asked again.
    """
    resolver = _Resolver(supervisor, keeper)
    if anew:
        resolver.reply(helpers.ServesAnew())
    resolver.run()


class _Resolver:
    def __init__(self, supervisor: Channel, keeper: Keeper) -> None:
        self._supervisor = supervisor
        self._keeper = keeper
        self._lookups: dict[int, _Lookup] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(supervisor, selectors.EVENT_READ, supervisor)
        self._selector.register(keeper, selectors.EVENT_READ, keeper)

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._time_left()):
                if key.data is self._keeper:
                    self._end_all()
                    self._selector.close()
                    self._keeper.close()
                    raise KeeperGone
                if key.data is self._supervisor:
                    try:
                        self._read_request()
                    except ChannelClosed:
                        self._end_all()
                        return
                elif key.data in self._lookups:
                    self._read_answer(self._lookups[key.data])
            self._expire()

    def _time_left(self) -> float | None:
        if not self._lookups:
            return None
        return max(0.0, min(lookup.deadline for lookup in self._lookups.values()) - time.monotonic())

    def _read_request(self) -> None:
        packet = self._supervisor.receive()
        packet.close()
        request = helpers.decode_to_resolver(packet.data)
        if isinstance(request, helpers.Cancel):
            if request.number in self._lookups:
                self._finish(self._lookups[request.number])
        elif request.number in self._lookups:
            pass  # asked again (helpers.ServesAnew), and had waited in the socket besides
        elif len(self._lookups) >= _MAX_LOOKUPS:
            self.reply(helpers.LookupResult(request.number, (), "too many names are being resolved"))
        else:
            self._start(request)

    def _start(self, request: helpers.Lookup) -> None:
        read_end, write_end = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(read_end)
            os.close(write_end)
            self.reply(helpers.LookupResult(request.number, (), f"cannot start a look-up: {error.strerror}"))
            return
        if pid == 0:
            os.write(write_end, helpers.encode(resolve(request)))
            os._exit(ExitStatus.OK)
        os.close(write_end)
        deadline = time.monotonic() + RESOLVE_DEADLINE
        self._lookups[request.number] = _Lookup(request, pid, read_end, deadline)
        self._selector.register(read_end, selectors.EVENT_READ, request.number)

    def _read_answer(self, lookup: _Lookup) -> None:
        data = os.read(lookup.pipe, MAX_FRAME)
        if data and len(lookup.answer) <= MAX_FRAME:
            lookup.answer += data
            return
        self._finish(lookup)
        try:
            self.reply(helpers.decode_lookup_result(lookup.answer))
        except BadFrame:
            self.reply(helpers.LookupResult(lookup.request.number, (), "the look-up's process died"))

    def _expire(self) -> None:
        now = time.monotonic()
        for lookup in [lookup for lookup in self._lookups.values() if lookup.deadline <= now]:
            self._finish(lookup)
            error = f"no answer from the name servers within {RESOLVE_DEADLINE:.0f} s"
            self.reply(helpers.LookupResult(lookup.request.number, (), error))

    def _finish(self, lookup: _Lookup) -> None:
        """Forget a look-up, and end its process if it still runs."""
        del self._lookups[lookup.request.number]
        self._selector.unregister(lookup.pipe)
        os.close(lookup.pipe)
        os.kill(lookup.pid, signal.SIGKILL)  # cannot hit a stranger: it has not been waited for
        os.waitpid(lookup.pid, 0)

    def _end_all(self) -> None:
        for lookup in list(self._lookups.values()):
            self._finish(lookup)

    def reply(self, answer: helpers.FromResolver) -> None:
        """Tell the supervisor something."""
        try:
            self._supervisor.send(helpers.encode(answer))
        except ChannelClosed:
            pass  # the next read sees it too, and ends


def resolve(request: helpers.Lookup) -> helpers.LookupResult:
    """Look up one name (getaddrinfo(3)), blocking; never raises.  Others than the machine's servers stay chosen."""
    try:
        if request.servers is not None:
            ask_only(request.servers, request.search)
        found = socket.getaddrinfo(request.host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) and error.strerror else str(error)
        return helpers.LookupResult(request.number, (), reason)
    addresses = dict.fromkeys(str(address[0]) for *_, address in found)
    return helpers.LookupResult(request.number, tuple(addresses)[:MAX_RESOLVED])
