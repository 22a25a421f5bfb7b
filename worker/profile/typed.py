"""What a profile has of user names, passwords and keys, and what of these its user has to type."""

from collections.abc import Callable, Collection

from msgspec.structs import replace

from ...policy.profile.syntax import Option
from .values import Need, StaticChallenge, read_lines, read_number, refusal, shown


class TypedInput:
    """Reads the options of one profile that are about what is typed."""

    def __init__(
        self, names: Collection[str], emit: Callable[[Option], None], drop: Callable[[Option, str, str], None]
    ) -> None:
        """`names` are those of all options; an option is handed to the engine by `emit`, or left out by `drop`."""
        self.asks: dict[Need, bool] = {}
        self.static_challenge: StaticChallenge | None = None
        self.login: tuple[str, ...] = ()  # user name, or user name and password, that the engine asks for all the same
        self._challenged = "static-challenge" in names
        self._emit = emit
        self._drop = drop

    @property
    def needs(self) -> frozenset[Need]:
        """What is to be typed."""
        return frozenset(need for need, asked in self.asks.items() if asked)

    def auth_user_pass(self, option: Option) -> None:
        """User name and password; the engine, which would look for them on a terminal, gets both or nothing."""
        user, password, *_ = [*(read_lines(option) if option.block is not None else []), "", ""]
        if option.block is not None and not user:
            reason = "its first line is no user name, so user name and password are asked for"
            self._drop(option, reason, "<auth-user-pass>")
            password = ""
        complete = bool(user and password)
        self.asks[Need.USER_PASSWORD] = not complete
        # With a question beside them the engine would look for its answer on a terminal as well.
        by_engine = complete and not self._challenged
        self.login = () if by_engine else tuple(filter(None, (user, password)))
        self._emit(option if by_engine else Option(option.name, line=option.line))

    def key(self, option: Option) -> None:
        """The private key, which may be encrypted."""
        block = option.block or ""
        self.asks[Need.KEY_PASSPHRASE] = "BEGIN ENCRYPTED PRIVATE KEY" in block or "Proc-Type: 4,ENCRYPTED" in block
        self._emit(option)

    def pkcs12(self, option: Option) -> None:
        """Key and certificates, which are encrypted."""
        self.asks[Need.KEY_PASSPHRASE] = True
        self._emit(option)

    def askpass(self, option: Option) -> None:
        """Where the key's passphrase is: it is asked for when the key needs one."""
        if option.params and option.params[0] != "stdin":
            reason = f"the file {shown(option.params[0])} is not read; a passphrase is asked for if the key needs one"
            self._drop(option, reason, option.name)

    def ask_challenge(self, option: Option) -> None:
        """The question of static-challenge."""
        text, echo, form, *_ = [*option.params, "scrv1"]
        if form not in ("scrv1", "concat"):
            raise refusal(option, f"{shown(form)} is no form of an answer; there are scrv1 and concat")
        self.asks[Need.STATIC_CHALLENGE] = True
        self.static_challenge = StaticChallenge(text, read_number(option, echo) != 0, form == "concat")
        # How the answer is given is the worker's task, and a third parameter is unknown to OpenVPN 2.6.
        self._emit(replace(option, params=option.params[:2]))
