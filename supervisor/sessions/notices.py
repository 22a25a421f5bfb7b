"""What was left out of a session or changed, of its profile and of its present connection, for those who use it."""

from collections.abc import Sequence

from ...policy.limits import MAX_NOTICES
from ...policy.reports import About, as_notices


class Notices:
    """The notices of one session; those about something replace what was noticed about the same before."""

    def __init__(self) -> None:
        self._used: tuple[str, ...] = ()  # by the service, about what is kept of the profile
        self._said: dict[About, tuple[str, ...]] = {}  # by the worker
        self._device: tuple[str, ...] = ()  # by the service, about the device
        self._network: tuple[str, ...] = ()  # by the service, about the settings that are in place

    @property
    def all(self) -> list[str]:
        """All that hold, each once."""
        said = (text for about in About for text in self._said.get(about, ()))
        return list(dict.fromkeys((*self._used, *self._device, *said, *self._network)))

    def profile_used(self, text: str) -> None:
        """The profile is not used as its owner wants."""
        self._used = as_notices((text,))

    def said(self, about: About, texts: tuple[str, ...]) -> None:
        """The worker's notices about something."""
        self._said[about] = texts

    def device_made(self, text: str) -> None:
        """The device is not as the profile says."""
        self._device = as_notices((text,))

    def applied(self, warnings: Sequence[str]) -> None:
        """What was left out of the network settings that are in place now."""
        self._network = as_notices(warnings)

    def settled(self, text: str) -> None:
        """Something of these settings has changed since; said once."""
        if len(self._network) < MAX_NOTICES and text not in self._network:
            self._network = as_notices((*self._network, text))

    @property
    def kept(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Those by the service that do not come anew by themselves."""
        return self._used, self._device

    def restore(self, used: tuple[str, ...], device: tuple[str, ...]) -> None:
        """Have what was kept."""
        self._used, self._device = used, device

    def clear(self) -> None:
        """There is another worker, which says everything anew."""
        self._said.clear()
        self._device = ()
        self._network = ()
