"""Input that the engine asks for: the questions to the user, and the commands that answer the engine.

Answers live here only: those for one use until they are used, those that a reconnect needs again until the session
ends.  (openvpn's management-notes.txt, sections on challenge/response protocols.)
"""

import base64

import msgspec

from ...ipc.messages import InputSlot
from ...policy.dbus_numbers import InputGroup
from ..profile.values import CompiledProfile, Need
from . import pkcs11_prompts, secret
from .management import CertificateCount, CertificateEntry, quote
from .questions import CannotAnswer, Commands, Questions, one_line

USERNAME = InputSlot("username", "Auth User name", False)
PASSWORD = InputSlot("password", "Auth Password", True)
PROXY_USER = InputSlot("http_proxy_user", "HTTP proxy username", False)
PROXY_PASSWORD = InputSlot("http_proxy_pass", "HTTP proxy password", True)
PASSPHRASE = InputSlot("pk_passphrase", "Private key passphrase", True)
_STATIC = "static_challenge"
_DYNAMIC = "dynamic_challenge"
PENDING = "auth_pending"

_CONCATENATED = 2  # flag of SC: password and response in one string
_ECHO = 1  # flag of SC: the response may be seen
_MAX_PARAMETER = 255  # bytes of one parameter of a management command


class _Challenge(msgspec.Struct, frozen=True):
    """A dynamic challenge (CRV1) that the server answered a login with."""

    state: str
    user: str
    wants_response: bool


class UserInput:
    """The answers of one session's user."""

    def __init__(self) -> None:
        self._answers: dict[str, bytearray] = {}
        self._challenge: _Challenge | None = None
        self._one_time = False  # the engine keeps a login that the server takes only once
        self._used = False  # … and has taken
        self.asked_at_login = False  # its user, by the server, in the login under way or that has succeeded
        self.query = ""  # what the engine asked for and still waits for
        self._proxy_answered = False
        self._appends = False  # the response to a static challenge is appended to the password
        self.pkcs11 = pkcs11_prompts.Pkcs11Prompts()

    @property
    def challenged(self) -> bool:
        """Whether the server's refusal was a question."""
        return self._challenge is not None

    @property
    def asks_again(self) -> bool:
        """Whether the next connection will probably want something of the user: a password for one use, a web page."""
        return self._used or self.asked_at_login

    @property
    def passphrase_given(self) -> bool:
        """Whether the user has typed the passphrase of the private key."""
        return PASSPHRASE.name in self._answers

    def login_accepted(self) -> None:
        """The server let the engine in."""
        self._used = self._one_time
        self.pkcs11.pin_is_settled()

    def auth_token_received(self) -> None:
        """The engine has a token, which will do in place of the login."""
        self._one_time = self.asked_at_login = False

    def before_attempt(self) -> list[str]:
        """Commands that make the engine ask again for what the server would not take a second time."""
        used, self._used = self._used, False
        self.asked_at_login = False
        self.pkcs11.pin_is_settled()
        return ["forget-passwords"] if used else []

    def take(self, name: str, value: memoryview) -> None:
        """The user's answer."""
        self._forget(name)
        self._answers[name] = bytearray(value)

    def forget_all(self) -> None:
        """Overwrite all answers."""
        for name in list(self._answers):
            self._forget(name)

    def before_connecting(self, profile: CompiledProfile) -> list[Questions]:
        """What a profile needs from its user before it can connect."""
        asked = []
        for slot, known in zip((USERNAME, PASSWORD), profile.login, strict=False):
            self.take(slot.name, memoryview(known.encode()))
        if Need.USER_PASSWORD in profile.needs:
            asked.append(self._login_questions())
        if profile.static_challenge is not None:
            self._appends = profile.static_challenge.appended
            asked.append(_static(profile.static_challenge.text, profile.static_challenge.echo))
        if Need.KEY_PASSPHRASE in profile.needs:
            asked.append(_passphrase())
        if profile.token_label:
            asked.append(self.pkcs11.pin_question(profile.token_label))
        if Need.PROXY_CREDENTIALS in profile.needs:
            asked.append(_proxy())
        return asked

    def refused_with(self, challenge: str) -> tuple[Questions | None, str]:
        """The server refused a login with "CRV1:flags:state:user:text": the question, if it wants an answer; the text.

        Raises CannotAnswer.
        """
        fields = challenge.split(":", 4)
        if len(fields) != 5:
            raise CannotAnswer("the server's challenge is malformed")
        _, flags, state, user, text = fields
        try:
            name = base64.b64decode(user, validate=True).decode()
        except ValueError:
            raise CannotAnswer("the server's challenge contains no valid user name") from None
        wanted = flags.split(",")
        self._challenge = _Challenge(state, name, "R" in wanted)
        if "R" not in wanted:
            return None, text
        slot = InputSlot(_DYNAMIC, one_line(text), "E" not in wanted)
        return Questions(InputGroup.CHALLENGE_DYNAMIC, (slot,), one_line(text), "Dynamic Challenge"), text

    def pending(self, flags: str, text: str) -> Questions:
        """The question of CR_TEXT, asked while a login is under way."""
        self.asked_at_login = True
        slot = InputSlot(PENDING, one_line(text), "E" not in flags.split(","))
        return Questions(InputGroup.CHALLENGE_AUTH_PENDING, (slot,), one_line(text), one_line(text))

    def pending_response(self) -> bytearray:
        """The command that answers it."""
        typed = self._use(PENDING)
        response = secret.in_base64(typed)
        command = secret.joined(b"cr-response ", response)
        secret.overwrite(typed, response)
        return command

    def wanted(self, query: str) -> Commands | Questions:
        """The commands that answer "Need 'Auth' username/password …", or what to ask the user for that.

        Raises CannotAnswer.
        """
        self.query = query
        kind = query.split("'")[1] if query.count("'") >= 2 else ""
        match kind:
            case "Auth":
                reply = self._auth(query)
            case "Private Key":
                reply = self._private_key()
            case "HTTP Proxy" | "SOCKS Proxy":
                reply = self._proxy(kind)
            case pkcs11_prompts.INSERTION_REQUEST:
                reply = self.pkcs11.insert(query, confirmed=bool(self._use(pkcs11_prompts.INSERTED)))
            case pkcs11_prompts.IDENTITY_REQUEST:
                self._forget(pkcs11_prompts.INSERTED)
                reply = self.pkcs11.choose(self._use(pkcs11_prompts.IDENTITY).decode())
            case _:
                reply = self._pin(query)
        if isinstance(reply, list) and not self.pkcs11.listing:
            self.query = ""
        return reply

    def listed(self, event: CertificateCount | CertificateEntry) -> Commands | Questions:
        """The engine tells of a certificate on a token: the commands or questions that follow from that."""
        if not self.pkcs11.listing or not self.query:
            return []
        reply = self.pkcs11.listed(event)
        if isinstance(reply, list) and not self.pkcs11.listing:
            self.query = ""
        return reply

    def _auth(self, query: str) -> Commands | Questions:
        static = query.partition(" SC:")[2]
        self._one_time = bool(static) or self._challenge is not None
        if self._challenge is not None:
            challenge, self._challenge = self._challenge, None
            response = self._use(_DYNAMIC) if challenge.wants_response else bytearray()
            return _login_once(challenge.user.encode(), f"CRV1::{challenge.state}::".encode(), response)
        if any(slot.name not in self._answers for slot in (USERNAME, PASSWORD)):
            return self._login_questions()
        user, password = (self._answers[slot.name] for slot in (USERNAME, PASSWORD))
        if not static:
            return _login("Auth", user, password)
        number, _, text = static.partition(",")
        flags = int(number) if number.isdigit() else 0
        if _STATIC not in self._answers:
            asked = _static(text, bool(flags & _ECHO))
            return Questions(asked.group, asked.slots, one_line(text), "Static Challenge")
        response = self._use(_STATIC)
        if self._appends or flags & _CONCATENATED:
            return _login_once(user, secret.joined(password), response)
        encoded = secret.in_base64(password), secret.in_base64(response)
        secret.overwrite(response)
        return _login_once(user, b"SCRV1:", encoded[0], b":", encoded[1])

    def _login_questions(self) -> Questions:
        missing = tuple(slot for slot in (USERNAME, PASSWORD) if slot.name not in self._answers)
        text = "Username/password credentials needed"
        return Questions(InputGroup.USER_PASSWORD, missing, text, text)

    def _private_key(self) -> Commands | Questions:
        if PASSPHRASE.name not in self._answers:
            return _passphrase()
        # Kept: an engine that was told to forget, or not to remember, reads the key anew at each connection.
        return [_password("Private Key", self._answers[PASSPHRASE.name])]

    def _proxy(self, kind: str) -> Commands | Questions:
        names = (PROXY_USER.name, PROXY_PASSWORD.name)
        if self._proxy_answered:  # asked again, they were wrong
            self._proxy_answered = False
            for name in names:
                self._forget(name)
        if any(name not in self._answers for name in names):
            return _proxy()
        self._proxy_answered = True
        user, password = (self._answers[name] for name in names)
        return _login(kind, user, password)

    def _pin(self, query: str) -> Commands | Questions:
        label = pkcs11_prompts.pin_request(query)
        if label is None:
            kind = query.split("'")[1] if query.count("'") >= 2 else ""
            raise CannotAnswer(f"the engine asks for {kind or query.partition(':')[0]!r}, which is not supported")
        if label != self.pkcs11.label:
            self._forget(pkcs11_prompts.PIN)  # it is another token's
        return self.pkcs11.asked_for(label, self._use(pkcs11_prompts.PIN))

    def _use(self, name: str) -> bytearray:
        """An answer for one use: it is forgotten here, and the user's to overwrite."""
        return self._answers.pop(name, bytearray())

    def _forget(self, name: str) -> None:
        secret.overwrite(self._use(name))


def _login(kind: str, user: secret.Text, password: secret.Text) -> Commands:
    parameter = _parameter(user)
    command = secret.joined(f"username {quote(kind)} ".encode(), parameter)
    secret.overwrite(parameter)
    return [command, _password(kind, password)]


def _login_once(user: secret.Text, *password: secret.Text) -> Commands:
    """Log in with a password of these parts, which are overwritten where they can be."""
    whole = secret.joined(*password)
    secret.overwrite(*(part for part in password if isinstance(part, bytearray)))
    try:
        return _login("Auth", user, whole)
    finally:
        secret.overwrite(whole)


def _password(kind: str, password: secret.Text) -> bytearray:
    parameter = _parameter(password)
    command = secret.joined(f"password {quote(kind)} ".encode(), parameter)
    secret.overwrite(parameter)
    return command


def _parameter(value: secret.Text) -> bytearray:
    if len(value) > _MAX_PARAMETER:
        raise CannotAnswer(f"the input takes more than the {_MAX_PARAMETER} bytes that OpenVPN accepts")
    return secret.quoted(value)


def _passphrase() -> Questions:
    return Questions(
        InputGroup.PK_PASSPHRASE,
        (PASSPHRASE,),
        "Private key passphrase needed",
        "Private key passphrase needed to connect",
    )


def _proxy() -> Questions:
    return Questions(InputGroup.HTTP_PROXY_CREDS, (PROXY_USER, PROXY_PASSWORD), "", "HTTP proxy credentials")


def _static(text: str, echo: bool) -> Questions:
    """Asked together with user name and password, whose signal and status stand for both."""
    return Questions(InputGroup.CHALLENGE_STATIC, (InputSlot(_STATIC, one_line(text), not echo),), "", "")
