"""What the engine's management events mean for the session: one function per kind of event, and a table of them."""

import re
from collections.abc import Callable
from typing import Any

from ...ipc import messages
from ...policy.dbus_numbers import HTTP_PROXIED, LogCategory
from ...policy.limits import MAX_URL
from ...policy.network import PolicyViolation, check
from ..profile.values import Remote
from . import management, network_settings
from .phase import Phase
from .questions import CannotAnswer
from .remotes import version_of
from .session import Session

# States of the engine on its way to a connection: what to log, and how prominently.
_PROGRESS = {
    "RESOLVE": (LogCategory.VERB1, "Resolving the server's name"),
    "TCP_CONNECT": (LogCategory.VERB1, "Connecting to the server over TCP"),
    "WAIT": (LogCategory.VERB1, "Waiting for server response"),
    "AUTH": (LogCategory.VERB1, "Authenticating"),
    "GET_CONFIG": (LogCategory.VERB2, "Waiting for settings from the server"),
    "ASSIGN_IP": (LogCategory.VERB2, "Assigning addresses"),
    "ADD_ROUTES": (LogCategory.VERB2, "Adding routes"),
}

# The first matching letter of a log line's flags says how much it matters.
_CATEGORY_OF_FLAG = {
    "F": LogCategory.FATAL,
    "N": LogCategory.ERROR,
    "W": LogCategory.WARN,
    "I": LogCategory.INFO,
    "D": LogCategory.DEBUG,
}

# Error lines after which trying again cannot help: the server showed a certificate that is not accepted, or told us
# (TLS alert) that it does not accept ours.
_HOPELESS = (
    "VERIFY ERROR",
    "VERIFY KU ERROR",
    "VERIFY EKU ERROR",
    "VERIFY X509NAME ERROR",
    ":ssl/tls alert ",
    " alert ",
)

# Lines that tell of an error, whatever their flags say.
_ERRORS = ("VERIFY ERROR", "TLS Error", "OpenSSL", "Cannot load certificate")

# The server will most likely not answer, and will not say why.
_OWN_CERTIFICATE_EXPIRED = "WARNING: Your certificate has expired"

# Front-ends look for its first word.
_WRONG_PASSPHRASE = "PEM_PASSWORD_FAIL: the passphrase of the private key is wrong"

_WEB_PAGE = re.compile(r"https?://[^\s/?#]\S*", re.IGNORECASE)

# What the engine prints about a proxy that is shown credentials, and about one that wants (other) ones.
_CREDENTIALS_SHOWN = re.compile(r"Attempting Basic Proxy-Auth|Proxy-Auth.*phase 3|'Proxy-Authorization: Digest")
_PROXY_REFUSES = "Proxy requires authentication"

# Going on would lock the account.
_MAX_PROXY_REFUSALS = 3

_SECRET = re.compile("password|auth-token|proxy-authorization|cr_response", re.IGNORECASE)

_LOAD_STATS = re.compile(r"bytesin=(\d{1,18}),bytesout=(\d{1,18})$")

_INACTIVE = ("inactive", "ping-exit", "session-timeout")
_BY_SERVER = ("server-pushed-halt", "remote-exit")
_ASKED_TO_EXIT = ("SIGTERM", "SIGINT", "exit-with-notification", "init_instance")


def handle(session: Session, event: management.Event) -> None:
    """Act on one event; while the worker stops only signs of life matter."""
    if session.phase != Phase.STOPPING:
        _HANDLERS[type(event)](session, event)
    elif isinstance(event, management.Reply) and event.text.startswith("pid="):
        session.lives_on()


def printed(session: Session, line: str) -> None:
    """A line of the engine's output: it comes at once, also while the management interface is silent.

    With some proxies the engine tries what was refused again without end or pause, a thousand times a second.
    """
    engine = session.engine
    assert engine is not None
    if _CREDENTIALS_SHOWN.search(line):
        engine.proxy_sees_credentials = True
    elif line.startswith(_PROXY_REFUSES) and engine.proxy_sees_credentials:
        engine.proxy_sees_credentials = False
        session.proxy_refusals += 1
        if session.proxy_refusals >= _MAX_PROXY_REFUSALS:
            session.fail("The proxy refuses the user name and password")


def engine_ended(session: Session, how: str) -> None:
    """The engine's process is gone; `how` is its exit in words ("was killed by SIGKILL")."""
    engine = session.engine
    assert engine is not None
    reason = session.exit_reason
    printed = next((line for line in reversed(engine.last_output) if not line.startswith("Use --help")), "")
    killed = how.startswith("was killed")
    if session.phase == Phase.STARTING and not killed:
        session.refuse(f"The engine does not accept the profile: {printed or session.last_error or how}")
    elif reason.startswith("auth-failure"):
        session.authentication_failed("Authentication failed")
    elif reason in _INACTIVE:
        session.ended("Inactive tunnel, disconnected")
    elif reason in _BY_SERVER:
        session.fail("Client disconnected by server")
    elif reason in _ASKED_TO_EXIT or how == "exited with 0 (OK)":
        session.ended(f"The engine was asked to end ({reason or 'exit'})")
    else:
        text = f"The engine {how}" + (f": {session.last_error}" if session.last_error else "")
        # One that gives up before its first connection does so because of its profile or its server.
        if killed or session.established:
            session.engine_died(text)
        else:
            session.fail(text)


def _hold(session: Session, event: management.Hold) -> None:
    session.hold(event.seconds)


def _state(session: Session, event: management.EngineState) -> None:
    if event.name == "CONNECTED":
        _connected(session, event)
    elif event.name == "RECONNECTING":
        _reconnecting(session, event.detail)
    elif event.name == "EXITING":
        session.exit_reason = event.detail
    else:
        if not session.established and not session.connecting_announced and session.phase == Phase.RUNNING:
            session.connecting_announced = True
            session.tell(messages.Connecting(session.request_number))
        if event.name in _PROGRESS:
            session.log(*_PROGRESS[event.name])


def _connected(session: Session, event: management.EngineState) -> None:
    remote = session.attempts.remotes.connected(event.remote, event.port)
    session.user_input.login_accepted()
    session.proxy_refusals = 0
    if session.phase not in (Phase.RUNNING, Phase.WAITING):
        return  # Pause came first: the engine is about to give the connection up
    session.phase = Phase.RUNNING  # the server may let it in without waiting for an answer
    session.established = True
    session.timers.cancel("connect")
    if event.detail != "SUCCESS":
        session.log(LogCategory.WARN, f"Connected with errors ({event.detail})")
    # Counted first, so that there are statistics as soon as there is a connection; regular counts come each second.
    session.endpoint, session.endpoint_told = (*_endpoint(remote, event), remote.host), False
    session.command("load-stats")


def _endpoint(remote: Remote, event: management.EngineState) -> tuple[str, str, int]:
    """Protocol, address and port that a connection is to; those of the server, where the engine speaks of a proxy's."""
    if remote.proxy and remote.proxy.kind == "http":
        return HTTP_PROXIED[version_of(event.remote) or 4], remote.host, remote.port
    return remote.proto, event.remote, event.port


def _reconnecting(session: Session, reason: str) -> None:
    session.endpoint = None
    session.attempts.remotes.attempt_failed()
    session.user_input.query = ""  # the engine asks again
    if reason == "auth-failure":
        if not session.user_input.challenged and not session.overrides.retry_authentication:
            session.authentication_failed("Authentication failed")
    elif session.phase != Phase.RUNNING:
        pass  # the interruption that Pause asked for
    elif reason == "private-key-password-failure":
        _key_refused(session)
    elif session.established:
        session.attempts.remotes.lost()
        session.tell(messages.Reconnecting(session.request_number, reason))
    elif reason == "tls-error" and any(mark in session.last_error for mark in _HOPELESS):
        session.fail(f"The TLS handshake failed: {session.last_error}")
    else:
        session.log(LogCategory.INFO, f"Not connected yet ({reason}), trying again")


def _message(session: Session, event: management.Message) -> None:
    text = event.text
    if text.startswith("MANAGEMENT:") or _SECRET.search(text):
        return  # the engine repeats what passes over its management interface, secrets among it
    flag = next((flag for flag in event.flags if flag in _CATEGORY_OF_FLAG), "")
    category = _CATEGORY_OF_FLAG.get(flag, LogCategory.VERB2)
    is_error = category >= LogCategory.ERROR or text.startswith(_ERRORS)
    if is_error and not any(mark in session.last_error for mark in _HOPELESS):
        session.last_error = text
    session.attempts.remotes.heard(text)
    if session.attempts.remotes.leads_nowhere and session.phase == Phase.RUNNING:
        session.attempts.next_remote()
    session.redirected |= text.startswith("PUSH: ") and "redirect-gateway" in text
    if text.startswith(_OWN_CERTIFICATE_EXPIRED):
        session.expect_refusal("Your certificate has expired")
    session.log(category, text)


def _device_up(session: Session, event: management.DeviceUp) -> None:
    wanted, warnings = network_settings.from_environment(
        event.environment, session.attempts.remotes.tried, redirected=session.redirected
    )
    for warning in warnings:
        session.log(LogCategory.WARN, warning)
    try:
        check(wanted)
    except PolicyViolation as error:
        session.fail(f"The server's network settings cannot be used: {error}")
        return
    session.tell(messages.ApplyNetwork(wanted))


def _device_down(session: Session, event: management.DeviceDown) -> None:
    session.tell(messages.ClearNetwork())


def _key_refused(session: Session) -> None:
    if session.judgement is not None and session.judgement.on_token:
        session.fail(f"The token is of no use: {session.last_error}")
    elif session.user_input.passphrase_given:
        session.fail(_WRONG_PASSPHRASE)
    else:
        session.fail("The private key of the profile is damaged, or not one that OpenVPN can use")


def _verification_failed(session: Session, event: management.VerificationFailed) -> None:
    if event.kind == "Private Key":
        _key_refused(session)
        return
    said = event.text.partition("['")[2].removesuffix("']")
    if event.kind != "Auth" or not said.startswith("CRV1:"):
        session.log(LogCategory.WARN, f"Credentials were refused: {said}" if said else "Credentials were refused")
        return
    try:
        questions, text = session.user_input.refused_with(said)
    except CannotAnswer as error:
        session.fail(f"The session cannot go on: {error}")
        return
    if questions is None:
        session.log(LogCategory.INFO, f"The server says: {text}")
    else:
        session.dialogue.ask(questions)


def _server_asks(session: Session, event: management.ServerAsks) -> None:
    kind, _, rest = event.text.partition(":")
    if kind == "CR_TEXT":
        flags, _, text = rest.partition(":")
        if "R" in flags.split(","):
            session.dialogue.ask(session.user_input.pending(flags, text))
        else:
            session.log(LogCategory.INFO, f"The server says: {text}")
        return
    url = rest if kind == "OPEN_URL" else rest.partition(":")[2]
    if kind not in ("OPEN_URL", "WEB_AUTH"):
        session.log(LogCategory.VERB1, "The server asks for something that is not known")
    elif _WEB_PAGE.fullmatch(url) and url.isprintable() and len(url) <= MAX_URL:
        session.dialogue.open_url(url)
    else:
        session.fail("The server wants its user to open something that is no web page")


def _certificate(session: Session, event: management.CertificateCount | management.CertificateEntry) -> None:
    session.dialogue.reply(session.user_input.listed(event))


def _fatal(session: Session, event: management.Fatal) -> None:
    session.last_error = event.text
    session.log(LogCategory.FATAL, event.text)


def _reply(session: Session, event: management.Reply) -> None:
    counted = _LOAD_STATS.search(event.text)
    if counted:
        session.count_bytes(int(counted[1]), int(counted[2]))
    if session.endpoint is not None and not session.endpoint_told and (counted or not event.ok):
        session.tell_connected()
    if not event.ok:
        session.log(LogCategory.VERB1, f"The engine refused a command: {event.text}")


def _other(session: Session, event: management.Other) -> None:
    session.log(LogCategory.DEBUG, event.text)


_HANDLERS: dict[type, Callable[[Session, Any], None]] = {
    management.Hold: _hold,
    management.EngineState: _state,
    management.InputWanted: lambda session, event: session.dialogue.input_wanted(event.text),
    management.ServerAsks: _server_asks,
    management.VerificationFailed: _verification_failed,
    management.TokenReceived: lambda session, event: session.user_input.token_received(),
    management.ByteCount: lambda session, event: session.count_bytes(event.bytes_in, event.bytes_out),
    management.Message: _message,
    management.DeviceUp: _device_up,
    management.DeviceDown: _device_down,
    management.CertificateCount: _certificate,
    management.CertificateEntry: _certificate,
    management.Fatal: _fatal,
    management.Reply: _reply,
    management.Other: _other,
}
