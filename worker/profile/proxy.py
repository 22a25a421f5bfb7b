"""The proxy options of a profile, in the form that the engine gets.

The engine keeps an embedded user name and password for one HTTP proxy of the whole profile; without, every
<connection> block may have a proxy of its own (openvpn(8), http-proxy and http-proxy-user-pass).
"""

from collections.abc import Callable, Collection, Sequence

import msgspec
from msgspec.structs import replace

from ...policy.profile.syntax import Option, render
from .values import Proxy, read_host, read_lines, read_port, refusal, shown

_METHODS = ("none", "basic", "ntlm", "ntlm2")
_MAX_HEADERS = 16  # the engine takes 10 and two of its own; every <connection> block repeats them


class ProxyOptions(msgspec.Struct, frozen=True):
    """The proxy that applies in one scope, if any."""

    option: Option | None = None  # http-proxy or socks-proxy
    headers: tuple[Option, ...] = ()  # http-proxy-option

    @property
    def proxy(self) -> Proxy | None:
        """The proxy itself."""
        if self.option is None:
            return None
        return Proxy("http" if self.option.name == "http-proxy" else "socks", self.option.params[0])

    @property
    def by_http(self) -> bool:
        """Whether it is an HTTP proxy."""
        return self.option is not None and self.option.name == "http-proxy"

    @property
    def wants_credentials(self) -> bool:
        """Whether the engine needs a user name and password before the proxy has said anything."""
        return self.option is not None and "stdin" in self.option.params[2:3] and "none" not in self.option.params[3:]

    def with_header(self, option: Option) -> "ProxyOptions":
        """These with one http-proxy-option more.  Raises ProfileRefused."""
        if len(self.headers) == _MAX_HEADERS:
            raise refusal(option, f"occurs more than {_MAX_HEADERS} times")
        return replace(self, headers=(*self.headers, option))

    def rendered(self) -> str:
        """The options for the engine, each on a line."""
        if self.option is None:
            return ""
        return "".join(render(option) for option in (self.option, *(self.headers if self.by_http else ())))


class Proxies:
    """Reads the proxy options of one profile."""

    def __init__(
        self, names: Collection[str], blocks: Collection[str], drop: Callable[[Option, str, str], None]
    ) -> None:
        """`names` are those of all options, `blocks` those of blocks; an option is left out by `drop`."""
        self._by_http = "http-proxy" in names
        self._user_pass_given = "http-proxy-user-pass" in names
        self.one_for_all = self._by_http and "http-proxy-user-pass" in blocks  # no <connection> block has its own
        self._credentials: Option | None = None
        self._drop = drop

    def read(self, scope: ProxyOptions, option: Option) -> ProxyOptions:
        """The options of `scope` with `option`, of a proxy or of its headers.  Raises ProfileRefused."""
        if option.name == "http-proxy":
            return replace(scope, option=_http_proxy(option, self._user_pass_given))
        if option.name == "socks-proxy":
            return replace(scope, option=_socks_proxy(option))
        if self._by_http:
            return scope.with_header(option)
        self._without_proxy(option)
        return scope

    def read_credentials(self, option: Option) -> None:
        """The block of a user name and a password.  Raises ProfileRefused."""
        _check_credentials(option)
        if self._by_http:
            self._credentials = option
        else:
            self._without_proxy(option)

    def asks_for_credentials(self, scopes: Sequence[ProxyOptions]) -> bool:
        """Whether the proxy of one of `scopes` needs a user name and password that the profile does not have."""
        known = self._credentials is not None
        return any(scope.wants_credentials and not (known and scope.by_http) for scope in scopes)

    def before_all(self, scopes: Sequence[ProxyOptions], *, in_blocks: bool) -> str:
        """What stands before all else, rendered: the proxy, unless `scopes` are `in_blocks`, which have their own.

        Raises ProfileRefused.
        """
        if self._credentials is not None:
            return _for_whole_profile(scopes, self._credentials)
        return "" if in_blocks else scopes[0].rendered()

    def _without_proxy(self, option: Option) -> None:
        self._drop(option, "there is no http-proxy", option.name)


def _http_proxy(option: Option, embedded: bool) -> Option:
    """`option` as the engine gets it; `embedded` says whether the profile has credentials.  Raises ProfileRefused."""
    host, port, *how = option.params
    read_host(option, host)
    read_port(option, port)
    if not how:
        how = ["auto"] if embedded else []  # without a word the engine would not use the credentials it has
    elif how[0] in ("auto", "auto-nct"):
        how = how[:1]
    elif how == ["none"]:
        how = []
    elif how[1:] and how[1] in ("auto", "auto-nct"):
        how = how[1:]
    elif how[1:] and how[1] not in _METHODS:
        raise refusal(option, f"asks for {shown(how[1])}; there are {', '.join(_METHODS)}, auto and auto-nct")
    else:
        how = ["stdin", *how[1:]]  # means the embedded ones, if there are any, whatever file is named
    return replace(option, params=(host, port, *how))


def _socks_proxy(option: Option) -> Option:
    """`option` as the engine gets it.  Raises ProfileRefused."""
    host, port, *how = [*option.params, "1080"][: max(2, len(option.params))]
    read_host(option, host)
    read_port(option, port)
    return replace(option, params=(host, port, *(["stdin"] if how else [])))


def _check_credentials(option: Option) -> None:
    """Raise ProfileRefused unless the block `option` has a user name and a password."""
    user, password, *_ = [*read_lines(option), "", ""]
    if not (user and password):
        raise refusal(option, "needs a user name and, on the next line, a password")


def _for_whole_profile(scopes: Sequence[ProxyOptions], credentials: Option) -> str:
    """The one proxy of all `scopes` and its `credentials`, rendered.  Raises ProfileRefused if they use several."""
    first, *others = scopes
    if any(other.rendered() != first.rendered() for other in others):
        raise refusal(
            credentials,
            "works only if all <connection> blocks use the same proxy; remove it, and you will be asked",
        )
    return first.rendered() + (render(credentials) if first.by_http else "")
