"""What a session makes of a run that fails: another try, where it may have one, or its end."""

from __future__ import annotations

from abc import abstractmethod

from ...policy.causes import Cause
from ...policy.dbus_numbers import LogCategory
from ...policy.limits import MAX_RESTARTS, MAX_STATUS_TEXT
from ..errors import SystemFailure
from .restarts import Restarts
from .run import RunOwner
from .runs import Runs
from .states import TABLE, Event, State
from .verdict import Verdict


class TroubledSession(RunOwner):
    """A session, as far as it has to do with troubles of its run."""

    state: State
    restarts: Restarts
    runs: Runs
    verdict: Verdict

    @property
    @abstractmethod
    def backend_pid(self) -> int:
        """Process id of the worker, 0 before it has one."""

    @abstractmethod
    def happened(self, event: Event, text: str = "", cause: Cause | None = None) -> None:
        """Follow the table of states; `cause` is that of a failure."""

    def start_failed(self, error: Exception) -> None:
        if self.state is not State.REVIVING:
            self.verdict.refuse(error)
        elif isinstance(error, SystemFailure):
            self.try_again_or(Event.ENGINE_FAILED, f"No worker could be started: {error}")
        else:
            self.happened(Event.ENGINE_FAILED, f"No worker can be started: {error}")

    def worker_killed(self, reason: str) -> None:
        self.log.write(LogCategory.CRIT, f"Worker {self.backend_pid} is killed: {reason}")
        text = f"The session's worker was killed: {reason}"
        self.verdict.refuse(SystemFailure(text))
        self.happened(Event.WORKER_DIED, text)

    def worker_not_heard(self, reason: str) -> None:
        text = f"The service could not do what the session's worker asked for: {reason}"
        self.log.write(LogCategory.CRIT, text)
        self.verdict.refuse(SystemFailure(text))
        self.try_again_or(Event.WORKER_DIED, text)

    def worker_ended(self, how: str) -> None:
        text = f"The session's worker {how}"
        self.verdict.refuse(SystemFailure(text))
        self.try_again_or(Event.WORKER_DIED, text)

    def device_removed(self, device: str) -> None:
        # An engine that goes on without one spins.
        run = self.runs.present
        if run is None or run.device != device:
            return
        text = f"The network device {device} was removed"
        self.verdict.refuse(SystemFailure(text))
        if (self.state, Event.ENGINE_FAILED) in TABLE:
            self.try_again_or(Event.ENGINE_FAILED, text)

    def network_lost(self, text: str, cause: Cause = Cause.SERVER_SETTINGS) -> None:
        """Something of the network that it cannot do without is not in place, or no longer."""
        if (self.state, Event.ENGINE_FAILED) in TABLE:
            self.happened(Event.ENGINE_FAILED, text, cause)

    def try_again_or(self, otherwise: Event, text: str, cause: Cause | None = None) -> None:
        """Something the session cannot do without failed: there is another run, or `otherwise` happens."""
        restarts = self.restarts
        may_restart = (self.state, Event.CRASHED) in TABLE
        if may_restart and restarts.another():
            self.log.write(LogCategory.WARN, text)
            what = f"try {restarts.tries} of {MAX_RESTARTS} in {restarts.pause:g} s"
            self.happened(Event.CRASHED, f"{text[:MAX_STATUS_TEXT]}: {what}", cause)
        else:
            if may_restart and restarts.used_up:
                text += f", after {MAX_RESTARTS} restarts"
            self.happened(otherwise, text, cause)
