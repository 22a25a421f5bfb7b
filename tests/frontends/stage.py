"""The same story told twice: the real clients with the services they came with, and with this project's."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..lab.incumbent import IncumbentLab
from ..lab.incumbent_tree import Release
from ..lab.pki import Pki
from ..lab.processes import LabError
from ..support.terminal import Terminal

# What differs from run to run, in this order.
_VARYING = (
    (r"/net/openvpn/v3/(sessions|configuration)/[0-9a-f]{8}[0-9a-fsx]{28}", r"/\1/ID"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"(PID|Auth Request): +\d+", r"\1: N"),
    (r"--auth-req \d+", "--auth-req N"),
    (r"((?:alice|bob|root) +)\d+", r"\1N"),
    (r'(_tstamp" : )[1-9]\d+', r"\1N"),
    (r"/run/tmp/lab-\w+/alice-\d+/", "DIRECTORY/"),
    # Counters have a test of their own.
    (r"\n*Connection statistics:\n(?: +\w+\.+\d+\n)*", "\n"),
    (r"[ \t]+", " "),
    (r"-{5,}", "-----"),
)


@dataclass(frozen=True)
class Said:
    """What a command said, without what varies, and its exit status."""

    command: str
    status: int
    text: str
    raw: str = field(compare=False)
    seconds: float = field(compare=False)


@dataclass
class Stage:
    """Where a story takes place; it keeps what everybody said."""

    lab: IncumbentLab
    ours: bool
    said: list[Said] = field(default_factory=list)

    def run(self, user: str, *argv: str) -> Said:
        """Run one of the clients as a user to its end."""
        began = time.monotonic()
        done = self.lab.foreign_user(user, argv)
        return self._keep(user, argv, done.returncode, done.stdout + done.stderr, time.monotonic() - began)

    def _keep(self, user: str, argv: tuple[str, ...], status: int, raw: str, seconds: float) -> Said:
        made = Said(normal(" ".join([user, *argv])), status, normal(raw), raw, seconds)
        self.said.append(made)
        return made

    def note(self, what: str, text: str) -> None:
        """Keep what was shown elsewhere than in a command's output."""
        self.said.append(Said(what, 0, normal(text), text, 0))

    def openvpn3(self, *argv: str, user: str = "alice") -> Said:
        """Run `openvpn3`."""
        return self.run(user, "openvpn3", *argv)

    @contextmanager
    def terminal(self, *argv: str, user: str = "alice") -> Iterator[Terminal]:
        """Run one of the clients at a terminal, to its end, which the block's end waits for."""
        began = time.monotonic()
        environment = {**self.lab.bus.environment(), "HOME": "/tmp", "TERM": "dumb"}
        with Terminal(self.lab.foreign.command(argv, user), environment) as made:
            yield made
            status = made.finish()
        self._keep(user, argv, status, made.text, time.monotonic() - began)

    def profile(self, *, name: str = "work.ovpn", **options: Any) -> str:
        """A profile of alice's in a file; its path, the same inside and outside."""
        return str(self.lab.file(name, self.lab.profile(**options)))


def normal(text: str) -> str:
    """A text without what varies."""
    for pattern, instead in _VARYING:
        text = re.sub(pattern, instead, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


Story = Callable[[Stage], None]

_ATTEMPTS = 3
_LOST = "New tunnel did not respond"


def tell(release: Release, story: Story, pki: Pki, *, ours: bool) -> list[Said]:
    """Tell a story with our service, or the original's, and the release's clients; what they said.

    The original now and then loses a session that it has just started, mostly on a busy machine; its story begins
    anew then.
    """
    for _ in range(_ATTEMPTS - 1 if not ours else 0):
        try:
            stage = _told(release, story, pki, ours=False)
        except LabError as error:
            if _LOST not in str(error):
                raise
        else:
            if not any(_LOST in one.text for one in stage.said):
                return stage.said
    return _told(release, story, pki, ours=ours).said


def _told(release: Release, story: Story, pki: Pki, *, ours: bool) -> Stage:
    with IncumbentLab(release, pki, ours=ours) as lab:
        if ours:
            lab.supervisor()
        else:
            lab.start_services()
        stage = Stage(lab, ours)
        story(stage)
    return stage


def tell_both(release: Release, story: Story, pki: Pki) -> tuple[list[Said], list[Said]]:
    """Tell a story twice; what was said with ours and with the original."""
    return tell(release, story, pki, ours=True), tell(release, story, pki, ours=False)


def assert_same(ours: list[Said], original: list[Said]) -> None:
    """Both said the same, command by command."""
    for mine, theirs in zip(ours, original, strict=True):
        assert mine == theirs, (
            f"{theirs.command}: ours {mine.status}\n{mine.text}\noriginal {theirs.status}\n{theirs.text}"
        )
