"""The samples: profiles of all kinds, each with what is to become of it.

The files beside this one hold them by family, as tables of `Sample`.  All are of our own making, with addresses and
names that are reserved for documentation.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from ...ctl.profile_file import ProfileFile, read_profile
from ...worker.profile.verdict import Remark
from ..lab.network import BEHIND_ADDRESS, SERVER_ADDRESS
from .papers import Papers

FAMILIES = {
    "commercial": "Commercial providers",
    "appliances": "Firewalls, routers, storage",
    "clouds": "Clouds and OpenVPN's own servers",
    "installers": "Scripts that make servers",
    "clients": "Other clients",
    "ancient": "OpenVPN 2.0 to 2.3",
    "fixtures": "One rule each",
    "broken": "Slips of the pen, and files that are no profiles",
}
_HERE = Path(__file__).resolve().parent
_NOBODY = "198.51.100.3"  # an address on the cable that nobody has
_REMOTE = re.compile(r"^\W*remote\W+([a-z0-9-]+\.[a-z0-9.-]*[a-z])\b", re.MULTILINE)


class ServerPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The server that a sample connects to."""

    protocol: str = "udp"
    port: int = 1194
    more: tuple[str, ...] = ()  # lines of its configuration, with names of papers
    users: dict[str, str] = {}  # passwords by name; without any, certificates alone count
    response: str = ""  # to a static challenge


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One profile, and what is to become of it."""

    name: str
    what: str
    text: str  # with names of papers
    family: str = ""
    encoding: str = "utf-8"
    newline: str = "\n"
    files: dict[str, str] = {}  # beside the profile; texts with names of papers
    refused: str = ""  # a pattern that the reason matches; empty: it is accepted
    on_this_machine: bool = False  # it is refused for what only the service knows of the machine
    ignored: tuple[str, ...] = ()  # what is left out with a warning
    warned: str = ""  # a pattern that the warnings of `ovpnctl check` match
    noticed: str = ""  # in a notice that the service adds
    asks: tuple[str, ...] = ()  # names of the questions before it connects
    answers: dict[str, str] = {}  # by name of the question
    proxy: Literal["", "http", "socks"] = ""  # on the way to the server
    server: ServerPart | None = None  # None: it is not connected
    fails: str = ""  # a pattern that the reason matches for which it is not let in; empty: it connects

    @property
    def label(self) -> str:
        """Its name among all."""
        return f"{self.family}/{self.name}"

    def content(self, papers: Papers) -> bytes:
        """The profile's file."""
        return papers.filled(self.text).replace("\n", self.newline).encode(self.encoding)

    def difference(self, refusal: str, warnings: Sequence[str] = ()) -> str:
        """How a verdict on it, the reason for a refusal or the warnings, differs from the expected one; empty: not."""
        if refusal or self.refused:
            right = self.refused and refusal and re.search(self.refused, refusal)
            return "" if right else f"refused because of {self.refused!r}, but: {refusal or 'accepted'}"
        begun = {warning.split(" (line", 1)[0].replace("'", ""): warning for warning in warnings}
        return "; ".join(
            [f"no warning of {what}" for what in self.ignored if what not in begun]
            + [warning for what, warning in begun.items() if what not in self.ignored]
        )

    def store(self, directory: Path, papers: Papers) -> Path:
        """Write the profile, and the files beside it, into a directory; the profile's path."""
        for name, text in self.files.items():
            file = directory / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(papers.pkcs12() if text == "@pkcs12@" else papers.filled(text).encode())
        profile = directory / "profile.ovpn"
        profile.write_bytes(self.content(papers))
        return profile

    def read(self, directory: Path, papers: Papers) -> ProfileFile:
        """The profile as `ovpnctl` reads it from a directory."""
        return read_profile(str(self.store(directory, papers)))


class _Family(msgspec.Struct, forbid_unknown_fields=True):
    sample: list[Sample]


def reasons(remarks: Iterable[Remark]) -> str:
    """The reasons of a refusal as one text; empty if there are none."""
    return "; ".join(f"{one.option} (line {one.line}): {one.reason}" for one in remarks)


@cache
def samples() -> Sequence[Sample]:
    """All of them, family by family."""
    found = []
    for family in FAMILIES:
        table = msgspec.toml.decode((_HERE / f"{family}.toml").read_bytes(), type=_Family)
        found += [msgspec.structs.replace(sample, family=family) for sample in table.sample]
    return found


def names() -> dict[str, list[str]]:
    """Records for a name server that knows the servers of the samples.

    Those called dead-… have an address that nobody has, and those called gone-… none.
    """
    records = {"behind.fixture.example": [BEHIND_ADDRESS]}
    for sample in samples():
        for name in _REMOTE.findall(sample.text):
            if name.startswith("gone-"):
                continue
            known = [_NOBODY if name.startswith("dead-") else SERVER_ADDRESS]
            # AWS' names exist below a label only.
            records["*." + name if name.startswith("cvpn-") else name] = known
    return records
