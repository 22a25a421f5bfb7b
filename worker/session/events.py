"""What a worker does on each event of the management interface: a function for each, and a table of them."""

import re
from collections.abc import Callable
from typing import Any

from ...ipc import messages
from ...policy.causes import CAUSES, Cause, Failure, Kind
from ...policy.dbus_numbers import HTTP_PROXIED, LogCategory
from ...policy.limits import MAX_PROXY_REFUSALS, MAX_STATUS_TEXT
from ...policy.reports import is_endpoint, is_web_page
from ..profile.values import Remote, version_of
from . import management
from .engine_messages import given_up, meaning
from .phases import Event, Phase
from .questions import CannotAnswer
from .session import WorkerSession

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

# Lines that tell of an error, whatever their flags say.
_ERRORS = ("VERIFY ERROR", "TLS Error", "OpenSSL", "Cannot load certificate")

# Front-ends look for its first word.
_WRONG_PASSPHRASE = "PEM_PASSWORD_FAIL: the passphrase of the private key is wrong"

# What the engine prints about a proxy that is shown credentials, and about one that wants (other) ones.
_CREDENTIALS_SHOWN = re.compile(r"Attempting Basic Proxy-Auth|Proxy-Auth.*phase 3|'Proxy-Authorization: Digest")
_PROXY_REFUSES = "Proxy requires authentication"

# OpenVPN 2.7 says that nothing more has come when a proxy's answer has ended, as if that were an error.
_PROXY_ACCEPTS = re.compile(r"HTTP proxy returned: 'HTTP/\S+ 2")
_NOTHING_MORE = "recv_line: TCP port read timeout expired"

_SECRET = re.compile("password|auth-token|proxy-authorization|cr_response", re.IGNORECASE)

_LOAD_STATS = re.compile(r"bytesin=(\d{1,18}),bytesout=(\d{1,18})$")

_INACTIVE = ("inactive", "ping-exit", "session-timeout")
_BY_SERVER = ("server-pushed-halt", "remote-exit")
_ASKED_TO_EXIT = ("SIGTERM", "SIGINT", "exit-with-notification", "init_instance")


def handle(session: WorkerSession, event: management.Event) -> None:
    """Act on one event; while the worker stops only signs of life matter."""
    if isinstance(event, management.Reply) and event.text.startswith("pid="):
        session.watchdog.answered()
    elif session.phase is not Phase.STOPPING:
        _HANDLERS[type(event)](session, event)


def printed(session: WorkerSession, line: str) -> None:
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
        if session.proxy_refusals > MAX_PROXY_REFUSALS:
            session.machine.failed("The proxy refuses the user name and password", Cause.PROXY_REFUSES)


def engine_ended(session: WorkerSession, how: str) -> None:
    """The engine's process is gone; `how` is its exit in words ("was killed by SIGKILL")."""
    engine = session.engine
    assert engine is not None
    reason = session.exit_reason
    printed = next((line for line in reversed(engine.last_output) if not line.startswith("Use --help")), "")
    killed = how.startswith("was killed")
    if session.phase is Phase.STARTING and not killed:
        said = session.attempts.cause
        why = printed or (said.text if said else how)
        session.machine.failed(f"The engine does not accept the profile: {why}", Cause.PROFILE)
    elif reason.startswith("auth-failure"):
        failure = session.attempts.understood or given_up("auth-failure")
        session.machine.happened(Event.REFUSED, failure.text, failure.cause)
    elif reason in _INACTIVE:
        session.machine.happened(Event.ENDED, "Inactive tunnel, disconnected")
    elif reason in _BY_SERVER:
        session.machine.failed("Client disconnected by server", Cause.SERVER_ENDED)
    elif reason in _ASKED_TO_EXIT or how == "exited with 0 (OK)":
        session.machine.happened(Event.ENDED, f"The engine was asked to end ({reason or 'exit'})")
    else:
        said, understood = session.attempts.cause, session.attempts.understood
        text = f"The engine {how}" + (f": {said.text}" if said else "")
        # One that gives up before its first connection does so because of its profile or its server.
        if killed or session.attempts.connected_once:
            session.machine.happened(Event.ENGINE_DIED, text, Cause.ENGINE_DIED)
        else:
            session.machine.failed(*(understood.text, understood.cause) if understood else (text, Cause.UNKNOWN))


def _hold(session: WorkerSession, event: management.Hold) -> None:
    session.engine_holds(event.seconds)


def _state(session: WorkerSession, event: management.EngineState) -> None:
    if event.name == "CONNECTED":
        _connected(session, event)
    elif event.name == "RECONNECTING":
        _reconnecting(session, event.detail)
    elif event.name == "EXITING":
        session.exit_reason = event.detail
    else:
        if event.name == "AUTH":
            session.attempts.handshake_begins()
        else:
            session.attempts.handshake_goes_on()
        if not session.attempts.connected_once and not session.connecting_reported and session.phase is Phase.RUNNING:
            session.connecting_reported = True
            session.uplink.tell(messages.Connecting(session.uplink.request_number))
        if event.name in _PROGRESS:
            session.uplink.log(*_PROGRESS[event.name])


def _connected(session: WorkerSession, event: management.EngineState) -> None:
    if session.device.updated():
        return
    remote = session.attempts.remotes.connected(event.remote, event.port)
    session.user_input.login_accepted()
    session.proxy_refusals = 0
    if not session.machine.happened(Event.ENGINE_CONNECTED):
        return  # Pause came first: the engine is about to give the connection up
    session.attempts.connected()
    session.roaming.connected(event.remote, follows=remote.proxy is None and remote.proto == "udp")
    if event.detail != "SUCCESS":
        session.uplink.log(LogCategory.WARN, f"Connected with errors ({event.detail})")
    endpoint = (*_endpoint(remote, event), remote.host)
    if not is_endpoint(*endpoint):
        impossible = f"{event.remote}:{event.port}"
        session.machine.failed(f"The engine is connected to something impossible: {impossible}", Cause.ENGINE_DIED)
        return
    # Counted first, so that there are statistics as soon as there is a connection.
    session.device.connected(endpoint)
    session.counting.look()


def _endpoint(remote: Remote, event: management.EngineState) -> tuple[str, str, int]:
    """Protocol, address and port that a connection is to; those of the server, where the engine speaks of a proxy's."""
    if remote.proxy is None:
        return remote.proto, event.remote, event.port
    proto = HTTP_PROXIED[version_of(event.remote) or 4] if remote.proxy.kind == "http" else remote.proto
    return proto, remote.host, remote.port


def _reconnecting(session: WorkerSession, reason: str) -> None:
    session.device.disconnected()
    session.roaming.ended()
    attempts = session.attempts
    challenged = session.user_input.challenged
    where, was_connected, led_nowhere = attempts.remotes.tried, attempts.is_connected, attempts.leads_nowhere
    failure = attempts.ended(reason, challenged=challenged and reason == "auth-failure")
    session.user_input.query = ""  # the engine asks again
    if reason == "auth-failure" and (challenged or _login_refused(session, failure)):
        return
    if session.phase is not Phase.RUNNING:
        pass  # the interruption that Pause asked for
    elif led_nowhere and not was_connected:
        pass  # one of many names, perhaps, in no time: what is wrong with it was told when it was looked up
    elif reason == "private-key-password-failure":
        _key_refused(session, failure)
    elif failure is None or was_connected:
        if attempts.connected_once:
            session.uplink.tell(messages.Reconnecting(session.uplink.request_number, reason[:MAX_STATUS_TEXT]))
    elif attempts.refused_by_all():
        session.machine.failed(failure.text, failure.cause)
    else:
        session.uplink.log(LogCategory.INFO, f"Not connected ({failure.text}), trying again")
        attempts.report(failure, reason)
        if reason == "auth-failure" and not session.overrides.retry_authentication:
            attempts.pass_over(where)  # the engine would try the same server again


def _login_refused(session: WorkerSession, failure: Failure | None) -> bool:
    """The server does not let us in: whether that ends the session.  It may not be because of the credentials."""
    failure = failure or given_up("auth-failure")
    if session.overrides.retry_authentication or CAUSES[failure.cause].kind is not Kind.CREDENTIALS:
        return False
    return session.machine.happened(Event.REFUSED, failure.text, failure.cause)


def _message(session: WorkerSession, event: management.Message) -> None:
    text = event.text
    session.device.heard(text)
    session.negotiation.heard(text)
    session.may_have_negotiated()
    if text.startswith("MANAGEMENT:") or _SECRET.search(text):
        return  # the engine repeats what passes over its management interface, secrets among it
    proxy_accepted, session.proxy_accepted = session.proxy_accepted, bool(_PROXY_ACCEPTS.match(text))
    if proxy_accepted and text.startswith(_NOTHING_MORE):
        return
    flag = next((flag for flag in event.flags if flag in _CATEGORY_OF_FLAG), "")
    category = _CATEGORY_OF_FLAG.get(flag, LogCategory.VERB2)
    is_error = category >= LogCategory.ERROR or text.startswith(_ERRORS)
    session.attempts.remotes.heard(text)
    session.attempts.heard(meaning(text, session.attempts.remotes.tried, is_error=is_error))
    if session.attempts.leads_nowhere and session.phase is Phase.RUNNING and not session.attempts.is_connected:
        session.try_next_remote()
    session.uplink.log(category, text)


def _key_refused(session: WorkerSession, failure: Failure | None) -> None:
    if session.profile is not None and session.profile.key_on_token:
        why = f": {failure.text}" if failure else ""
        session.machine.failed(f"Cannot use the PKCS#11 token{why}", Cause.TOKEN_UNUSABLE)
    elif failure is not None and CAUSES[failure.cause].kind is Kind.CERTIFICATE:
        session.machine.failed(failure.text, failure.cause)
    elif session.user_input.passphrase_given:
        session.machine.failed(_WRONG_PASSPHRASE, Cause.PASSPHRASE_WRONG)
    else:
        damaged = "The private key of the profile is damaged, or not of a kind that OpenVPN supports"
        session.machine.failed(damaged, Cause.CERTIFICATE_UNUSABLE)


def _verification_failed(session: WorkerSession, event: management.VerificationFailed) -> None:
    if event.kind == "Private Key":
        _key_refused(session, session.attempts.cause)
        return
    said = event.text.partition("['")[2].removesuffix("']")
    if event.kind != "Auth" or not said.startswith("CRV1:"):
        if event.kind == "Auth":
            session.attempts.heard(meaning(f"AUTH_FAILED,{said}" if said else "AUTH_FAILED"))
        refused = "The server refuses the login"
        session.uplink.log(LogCategory.WARN, f"{refused}: {said}" if said else refused)
        return
    try:
        questions, text = session.user_input.refused_with(said)
    except CannotAnswer as error:
        session.machine.failed(f"The session cannot go on: {error}", Cause.SERVER_DEMANDS)
        return
    if questions is None:
        session.uplink.log(LogCategory.INFO, f"The server says: {text}")
    else:
        session.dialogue.ask(questions)


def _server_asks(session: WorkerSession, event: management.ServerAsks) -> None:
    kind, _, rest = event.text.partition(":")
    if kind == "CR_TEXT":
        flags, _, text = rest.partition(":")
        if "R" in flags.split(","):
            session.dialogue.ask(session.user_input.pending(flags, text))
        else:
            session.uplink.log(LogCategory.INFO, f"The server says: {text}")
        return
    url = rest if kind == "OPEN_URL" else rest.partition(":")[2]
    if kind not in ("OPEN_URL", "WEB_AUTH"):
        session.uplink.log(LogCategory.VERB1, "The server asks for something unknown")
    elif is_web_page(url):
        session.dialogue.open_url(url)
    else:
        odd = "The server asks the user to open a URL that is not a web page"
        session.machine.failed(odd, Cause.SERVER_DEMANDS)


def _certificate(session: WorkerSession, event: management.CertificateCount | management.CertificateEntry) -> None:
    session.dialogue.reply(session.user_input.listed(event))


def _fatal(session: WorkerSession, event: management.Fatal) -> None:
    session.attempts.heard(meaning(event.text, session.attempts.remotes.tried, is_error=True))
    session.uplink.log(LogCategory.FATAL, event.text)


def _reply(session: WorkerSession, event: management.Reply) -> None:
    counted = _LOAD_STATS.search(event.text)
    if counted:
        session.counted(int(counted[1]), int(counted[2]))
    if session.device.unreported and (counted or not event.ok):
        session.device.report()
    if not event.ok:
        session.uplink.log(LogCategory.VERB1, f"The engine refused a command: {event.text}")


def _device_up(session: WorkerSession, event: management.DeviceUp) -> None:
    session.device.up(event.environment)
    session.may_have_negotiated()


def _other(session: WorkerSession, event: management.Other) -> None:
    session.uplink.log(LogCategory.DEBUG, event.text)


_HANDLERS: dict[type, Callable[[WorkerSession, Any], None]] = {
    management.Hold: _hold,
    management.EngineState: _state,
    management.InputWanted: lambda session, event: session.dialogue.input_wanted(event.text),
    management.ServerAsks: _server_asks,
    management.VerificationFailed: _verification_failed,
    management.AuthTokenReceived: lambda session, event: session.user_input.auth_token_received(),
    management.ByteCount: lambda session, event: session.counted(event.bytes_in, event.bytes_out),
    management.Message: _message,
    management.DeviceUp: _device_up,
    management.DeviceDown: lambda session, event: session.device.down(),
    management.CertificateCount: _certificate,
    management.CertificateEntry: _certificate,
    management.Fatal: _fatal,
    management.Reply: _reply,
    management.Other: _other,
}
