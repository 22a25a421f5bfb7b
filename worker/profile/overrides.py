"""Apply a profile's overrides to its text, before it is compiled.

The text stays what it was, line by line, so that what is said about it later names the right lines; only lines that an
override speaks of are replaced, and what is new follows at the end.  (A proxy must stand before the <connection>
blocks that it applies to, as the engine reads them, and moves those down by one line.)
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from ...policy.profile.overrides import OVERRIDES, SessionOverrides, for_session, problem
from ...policy.profile.pkcs11 import ListedProvider
from ...policy.profile.syntax import Option, ProfileTextError, decode, render, tokenize
from .compiler import compile_profile
from .values import CompiledProfile, ProfileRefused

# Ciphers marked by "?" are offered if the engine has them.
_DATA_CIPHERS = "AES-256-GCM:AES-128-GCM:?CHACHA20-POLY1305"
_LEGACY_CIPHERS = "AES-256-CBC:AES-128-CBC:?BF-CBC"
_PROTO = {"tcp": "tcp-client", "udp": "udp"}


class Overridden(msgspec.Struct, frozen=True):
    """A profile with its overrides."""

    profile: bytes  # to be compiled instead of the one given; contains secrets
    warnings: tuple[str, ...] = ()
    session: SessionOverrides = SessionOverrides()

    def __repr__(self) -> str:
        return f"Overridden({len(self.profile)} bytes, {self.warnings}, {self.session})"


def apply(profile: bytes, overrides: Mapping[str, bool | str]) -> Overridden:
    """Apply `overrides` to `profile`.

    Raises ProfileRefused for overrides that cannot be followed.  A profile that cannot be read is returned as it
    is: compiling it says why.
    """
    warnings = tuple(f"override {name!a} is ignored: it is not known" for name in overrides if name not in OVERRIDES)
    known = {name: value for name, value in overrides.items() if name in OVERRIDES}
    for name, value in known.items():
        if text := problem(name, value):
            raise ProfileRefused(text)
    if known.get("enterprise-profile"):
        raise ProfileRefused("override enterprise-profile: device posture checks are not supported; unset it")
    session = for_session(known)
    if not known:
        return Overridden(profile, warnings, session)
    text = decode(profile)
    try:
        edited = _Edit(text, known)
    except ProfileTextError:
        return Overridden(profile, warnings, session)
    return Overridden(edited.text().encode(), (*warnings, *edited.warnings), session)


def compile_with_overrides(
    profile: bytes, overrides: Mapping[str, bool | str], providers: Sequence[ListedProvider] = ()
) -> CompiledProfile:
    """Compile `profile` with `overrides` applied to it.  Raises ProfileRefused, and nothing else."""
    overridden = apply(profile, overrides)
    compiled = compile_profile(overridden.profile, providers)
    return replace(compiled, warnings=(*overridden.warnings, *compiled.warnings))


class _Scope(msgspec.Struct):
    """What a server takes over that its own line does not say."""

    proto: str = "udp"
    port: str = "1194"
    connection: Option | None = None  # the block that it stands in


class _Edit:
    """The lines of one profile while they are edited.  Raises ProfileTextError, ProfileRefused."""

    def __init__(self, text: str, overrides: Mapping[str, bool | str]) -> None:
        self._lines = text.split("\n")
        self._overrides = overrides
        self._options: list[Option] = []  # those inside <connection> blocks too
        self._remotes: list[tuple[Option, _Scope]] = []
        self._connections: list[Option] = []
        self._added: list[Option] = []
        self.warnings: list[str] = []
        self._read(tokenize(text), _Scope())
        self._edit_servers()
        self._edit_proxy()
        self._edit_options()

    def text(self) -> str:
        """The edited profile."""
        text = "\n".join(self._lines)
        if self._added and not text.endswith("\n"):
            text += "\n"
        return text + "".join(map(render, self._added))

    def _read(self, options: list[Option], scope: _Scope) -> None:
        for option in options:
            self._options.append(option)
            match option:
                case Option("proto", (proto,)):
                    scope.proto = proto
                case Option("port" | "rport", (port,)):
                    scope.port = port
                case Option("remote", (_, *_)):
                    self._remotes.append((option, scope))
                case Option("connection", block=str(block)):
                    self._connections.append(option)
                    self._read(tokenize(block, option.line + 1, nested=True), replace(scope, connection=option))

    # What single lines become

    def _put(self, option: Option) -> None:
        self._lines[option.line - 1] = render(option).removesuffix("\n")

    def _drop(self, *names: str) -> bool:
        """Blank out all options of these names; whether there are any."""
        dropped = [option for option in self._options if option.name in names]
        for option in dropped:
            self._blank_out(option)
        return bool(dropped)

    def _blank_out(self, option: Option) -> None:
        length = 1 if option.block is None else option.block.count("\n") + 2
        self._lines[option.line - 1 : option.line - 1 + length] = [""] * length

    def _set(self, name: str, *params: str) -> None:
        """Have `name` once, with `params`."""
        self._drop(name)
        self._added.append(Option(name, params))

    def _chosen(self, name: str) -> str:
        """The value of a text, empty if it is not set."""
        return str(self._overrides.get(name, ""))

    # The overrides

    def _edit_proxy(self) -> None:
        host, port = self._chosen("proxy-host"), self._chosen("proxy-port")
        user, password = self._chosen("proxy-username"), self._chosen("proxy-password")
        if not host:
            for name in ("proxy-port", "proxy-username", "proxy-password", "proxy-auth-cleartext"):
                if self._overrides.get(name):
                    self.warnings.append(f"override {name} is ignored: proxy-host is not set")
            return
        if not port:
            raise ProfileRefused("override proxy-host needs proxy-port")
        if self._chosen("proto-override") == "udp":
            raise ProfileRefused("override proxy-host carries only TCP: unset it, or proto-override")
        self._drop("http-proxy", "http-proxy-option", "http-proxy-user-pass", "socks-proxy")
        method = "auto" if self._overrides.get("proxy-auth-cleartext") else "auto-nct"
        proxy = Option("http-proxy", (host, port, method))
        if self._connections:
            first = self._connections[0].line - 1
            self._lines[first] = render(proxy) + self._lines[first]
        else:
            self._added.append(proxy)
        if user and password:
            self._added.append(Option("http-proxy-user-pass", block=f"{user}\n{password}\n"))
        elif user or password:
            given, missing = ("proxy-username", "proxy-password")[:: 1 if user else -1]
            self.warnings.append(f"override {given} is ignored: {missing} is not set")

    def _edit_servers(self) -> None:
        host, port = self._chosen("server-override"), self._chosen("port-override")
        # The blocks name the servers if there are any.
        servers = [(option, scope) for option, scope in self._remotes if scope.connection or not self._connections]
        if proto := "tcp" if self._chosen("proxy-host") else self._chosen("proto-override"):
            servers = self._reached_by(proto, servers)
        for option, scope in servers:
            params = [host or option.params[0], *option.params[1:]]
            if port:
                params[1:2] = [port]
            if proto and proto not in _proto_of(option, scope):
                params[1:] = [*(params[1:2] or [scope.port]), _PROTO[proto]]
            if params != [*option.params]:
                self._put(replace(option, params=tuple(params)))

    def _reached_by(self, proto: str, servers: list[tuple[Option, _Scope]]) -> list[tuple[Option, _Scope]]:
        """Those of `servers` that speak `proto`, without the lines of the others; all if none does."""
        self._drop("proto-force")
        kept = [(option, scope) for option, scope in servers if proto in _proto_of(option, scope)]
        if kept:
            for option, scope in servers:
                if (option, scope) not in kept:
                    self._blank_out(scope.connection or option)
        elif proto == "tcp" and self._drop("fragment"):
            self.warnings.append("fragment is ignored: the servers are reached by TCP now")
        return kept or servers

    def _edit_options(self) -> None:
        overrides = self._overrides
        match overrides.get("persist-tun"):
            case True:
                self._set("persist-tun")
            case False:
                self._drop("persist-tun")
        match overrides.get("ipv6"):
            case "no":
                self._set("block-ipv6")
            case "yes":
                self._drop("block-ipv6")
                self._added.append(Option("pull-filter", ("ignore", "block-ipv6")))
        if level := self._chosen("log-level"):
            self._set("verb", level)
        if mode := self._chosen("allow-compression"):
            self._set("allow-compression", mode)
            if mode == "no":
                self._compress_nothing()
        if version := self._chosen("tls-version-min"):
            self._set("tls-version-min", version.removeprefix("tls_").replace("_", "."))
        if strength := self._chosen("tls-cert-profile"):
            self._set("tls-cert-profile", strength)
        if overrides.get("enable-legacy-algorithms"):
            self._offer_legacy_ciphers()

    def _compress_nothing(self) -> None:
        """Leave of compression only the framing, which both ends must agree on."""
        for option in self._options:
            match option:
                case Option("comp-lzo", () | ("yes" | "adaptive",)):
                    self._put(replace(option, params=("no",)))
                case Option("compress", ("lzo" | "lz4" | "lz4-v2" | "migrate",)):
                    stub = ("stub-v2",) if option.params == ("lz4-v2",) else ()
                    self._put(replace(option, params=stub))

    def _offer_legacy_ciphers(self) -> None:
        values = {option.name: option.params[0] for option in self._options if option.params}
        offered = values.get("data-ciphers") or values.get("ncp-ciphers") or _DATA_CIPHERS
        legacy = _LEGACY_CIPHERS
        if any(values.get(name, "").upper() == "BF-CBC" for name in ("cipher", "data-ciphers-fallback")):
            legacy = legacy.replace("?", "")
            self._set("providers", "legacy", "default")
        self._drop("ncp-ciphers")
        self._set("data-ciphers", f"{offered}:{legacy}")


def _proto_of(option: Option, scope: _Scope) -> str:
    """The protocol of a server, as the profile names it."""
    return option.params[2] if len(option.params) > 2 else scope.proto
