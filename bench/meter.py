"""The driver's end of client.py."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..tests.lab.lab import Lab
from ..tests.lab.processes import LabError

_PROGRAM = Path(__file__).with_name("client.py")


class Meter:
    """A user's connection to the lab's bus whose calls are timed where they are made.  A context manager."""

    def __init__(self, lab: Lab, user: str = "alice") -> None:
        self._popen = subprocess.Popen(
            lab.client_side.command([sys.executable, "-I", str(_PROGRAM)], user),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=lab.bus.environment(),
            text=True,
        )

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.communicate()

    def _order(self, order: str, **arguments: Any) -> Any:
        """Have a method of client.Client called; what it returned.  Raises LabError."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.write(json.dumps({"order": order, **arguments}) + "\n")
        self._popen.stdin.flush()
        line = self._popen.stdout.readline()
        if not line:
            raise LabError(f"the measuring client ended at {order}")
        said = json.loads(line)
        if "error" in said:
            raise LabError(said["error"])
        return said["answer"]

    def import_profile(self, name: str, text: str) -> str:
        """Give a profile to the configuration service; its path."""
        path: str = self._order("import_profile", name=name, text=text)
        return path

    def new_tunnel(self, profile: str) -> tuple[float, str]:
        """Milliseconds from NewTunnel until the new object has answered, and the session's path."""
        took, path = self._order("new_tunnel", profile=profile)
        return took, path

    def connect(self, session: str, *, forwarded: bool = False) -> float:
        """Milliseconds from Connect to CONNECTED; with `forwarded` it asks for the session's signals before."""
        took: float = self._order("connect", path=session, forwarded=forwarded)
        return took

    def disconnect(self, session: str) -> float:
        """Milliseconds that Disconnect takes."""
        took: float = self._order("disconnect", path=session)
        return took

    def get(self, session: str, name: str) -> Any:
        """A property of a session."""
        return self._order("get", path=session, name=name)

    def gets(self, session: str, seconds: float) -> list[float]:
        """Milliseconds of each Get, made one after the other for so many seconds."""
        taken: list[float] = self._order("gets", path=session, seconds=seconds)
        return taken

    def first_reply(self, name: str, path: str) -> float:
        """Milliseconds that reading the version of an object takes; its interface has the name of its service."""
        took: float = self._order("first_reply", name=name, path=path)
        return took

    def sessions(self) -> list[str]:
        """The paths of the user's sessions."""
        paths: list[str] = self._order("sessions")
        return paths

    def manager_calls(self, member: str, argument: str | None, count: int) -> list[float]:
        """Milliseconds of each of `count` calls of a method of the session manager, with one text or none."""
        taken: list[float] = self._order("manager_calls", member=member, argument=argument, count=count)
        return taken

    def round_trips(self, session: str, properties: list[str], count: int) -> dict[str, list[float]]:
        """Milliseconds of `count` calls each of GetId, GetAll and Get of each property, made in turn."""
        taken: dict[str, list[float]] = self._order("round_trips", path=session, properties=properties, count=count)
        return taken

    def pipelined(self, session: str, count: int, window: int) -> dict[str, float]:
        """Calls a second, `window` of them under way all the time, of "Get" and "GetId"."""
        rates: dict[str, float] = self._order("pipelined", path=session, count=count, window=window)
        return rates
