"""OpenVPN servers that ask clients who they are; a function of the test's decides what they are told.

The server hands every login to its management interface (openvpn's doc/management-notes.txt, client-auth,
client-deny and client-pending-auth), where a thread of ours asks the function and gives its verdict.
"""

import base64
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .openvpn import Server
from .processes import DEADLINE, LabError

_FOR_EVER = 1e6  # seconds


@dataclass(frozen=True)
class Login:
    """What a client shows: for each connection, each renegotiation, and each answer to a CR_TEXT challenge."""

    client: int
    key: int
    username: str = ""
    password: str = ""
    renegotiation: bool = False
    response: str | None = None  # to a challenge that was sent while the login was pending
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def static_challenge(self) -> tuple[str, str]:
        """Password and response, if the password has the form of a static challenge's answer."""
        kind, password, response = self.password.split(":")
        if kind != "SCRV1":
            raise LabError(f"no answer to a static challenge but {kind!r}")
        return _decoded(password), _decoded(response)


@dataclass(frozen=True)
class Accept:
    """Let the client in; `options` are lines for it alone, such as `push "auth-token …"`."""

    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deny:
    """Send the client away; `told` is what AUTH_FAILED carries: a reason, CRV1:…, TEMP…"""

    told: str = ""


@dataclass(frozen=True)
class Pending:
    """Let the client wait, with something for its user: WEB_AUTH:…, OPEN_URL:… or CR_TEXT:…

    The verdict comes by `AuthServer.decide`, or when the judge hears the answer.
    """

    extra: str
    timeout: int = 30  # seconds


Verdict = Accept | Deny | Pending
Judge = Callable[[Login], Verdict]


def knows(**passwords: str) -> Judge:
    """A judge who lets in these users with these passwords."""
    return lambda login: Accept() if passwords.get(login.username) == login.password else Deny()


def dynamic_challenge(state: str, username: str, text: str, flags: str = "R,E") -> Deny:
    """The verdict that asks for one more thing at the next connection."""
    return Deny(f"CRV1:{flags}:{state}:{base64.b64encode(username.encode()).decode()}:{text}")


class AuthServer(Server):
    """A server on the lab's cable whose clients `judge` is asked about; `logins` are all that came."""

    def __init__(self, *arguments: Any, judge: Judge, more: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*arguments, more=("management-client-auth", *more), **options)
        self.judge = judge
        self._logins: list[Login] = []
        self._came = threading.Condition()
        self._other_lines: queue.Queue[str] = queue.Queue()
        self._reader: threading.Thread | None = None

    def start(self, deadline: float = DEADLINE) -> None:
        """Start it and wait until clients can reach it."""
        super().start(deadline)
        self._reader = threading.Thread(target=self._read, name=f"judge of the {self.name}", daemon=True)
        self._reader.start()

    @property
    def logins(self) -> list[Login]:
        """All logins so far."""
        with self._came:
            return list(self._logins)

    def wait_login(self, number: int = 1, deadline: float = DEADLINE) -> Login:
        """The login of this number, counted from 1; LabError after `deadline` seconds."""
        with self._came:
            if not self._came.wait_for(lambda: len(self._logins) >= number, deadline):
                raise LabError(f"{len(self._logins)} logins within {deadline:g} s, not {number}")
            return self._logins[number - 1]

    def decide(self, login: Login, verdict: Verdict) -> None:
        """Give the verdict on a login, now or after it has been pending."""
        whose = f"{login.client} {login.key}"
        match verdict:
            case Accept(options):
                lines = [f"client-auth {whose}", *options, "END"]
            case Deny(told):
                lines = [f"client-deny {whose} denied " + (_quoted(told) if told else "")]
            case Pending(extra, timeout):
                lines = [f"client-pending-auth {whose} {_quoted(extra)} {timeout}"]
        assert self._management is not None
        self._management.sendall("".join(f"{line}\n" for line in lines).encode())

    def _line(self, until: float) -> str:
        if threading.current_thread() is self._reader or self._reader is None:
            return super()._line(until)
        try:
            line = self._other_lines.get(timeout=max(until - time.monotonic(), 0))
        except queue.Empty:
            raise TimeoutError from None
        if not line:
            raise LabError(f"{self.name} ended; its last lines:\n" + "\n".join(self.process.lines[-15:]))
        return line

    def _read(self) -> None:
        login: Login | None = None
        while True:
            try:
                line = self._line(time.monotonic() + _FOR_EVER)
            except (LabError, ConnectionResetError):  # it ended
                self._other_lines.put("")
                return
            if not line.startswith(">CLIENT:"):
                if not line.startswith("SUCCESS: client-"):
                    self._other_lines.put(line)
                continue
            kind, _, rest = line.removeprefix(">CLIENT:").partition(",")
            if kind != "ENV":
                login = _login(kind, rest.split(","))
            elif login is not None and rest != "END":
                name, _, value = rest.partition("=")
                login = replace(login, environment={**login.environment, name: value})
            elif login is not None:
                self._judged(login)
                login = None

    def _judged(self, login: Login) -> None:
        shown = login.environment
        login = replace(login, username=shown.get("username", ""), password=shown.get("password", ""))
        with self._came:
            self._logins.append(login)
            self._came.notify_all()
        self.decide(login, self.judge(login))

    def stop(self) -> None:
        """End it; it can be started again."""
        if self._process is not None and self._reader is not None:
            self._process.stop()
            self._reader.join()  # it reads to the end, before the socket is closed
            self._reader = None
        super().stop()


def _login(kind: str, values: list[str]) -> Login | None:
    """What a notification begins, if it is one that wants a verdict."""
    match kind, values:
        case (("CONNECT" | "REAUTH"), [client, key]):
            return Login(int(client), int(key), renegotiation=kind == "REAUTH")
        case "CR_RESPONSE", [client, key, response]:
            return Login(int(client), int(key), response=_decoded(response))
        case _:
            return None


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
