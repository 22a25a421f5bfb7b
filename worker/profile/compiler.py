"""Compile a profile: what of it the engine gets, what the user must type, and what was left out.

Pure functions over hostile text.  The engine's configuration is written anew from the options that
policy/profile/options.py allows; nothing of the profile's text is passed through but the content of blocks.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from ...policy.limits import MAX_PROFILE_WARNINGS, MAX_REMOTES
from ...policy.profile.credentials import ASKED, INLINE, credentials_file
from ...policy.profile.options import OPTIONS, PKCS11_OPTIONS, REFUSED, Embed, Rule, Treatment
from ...policy.profile.pkcs11 import ListedProvider
from ...policy.profile.syntax import MAX_OPTIONS, Option, ProfileTextError, render, tokenize
from ...policy.profile.variables import OF_OTHER_CLIENTS, for_tunnel
from .advice import advice, no_file
from .blocks import unfit
from .connection import ConnectionScope, Servers
from .network import NetworkOptions
from .pkcs11 import Pkcs11Options
from .proxy import Proxies
from .reading import read_options
from .typed import TypedInput
from .unknown import unknown
from .values import (
    CompiledProfile,
    Need,
    ProfileRefused,
    family_of,
    places,
    read_number,
    read_port,
    read_proto,
    refusal,
    shown,
)

DEFAULT_VERBOSITY = 3
MAX_VERBOSITY = 6  # beyond, the engine writes the content of packets and keys' details into its log

_ONLY_TUN = "only tun devices are supported; the server has to offer tun as well"
_PROVIDERS = {"default", "legacy", "fips", "base"}


def compile_profile(profile: bytes | str, providers: Sequence[ListedProvider] = ()) -> CompiledProfile:
    """Turn `profile` into what the engine gets; `providers` are those of PKCS#11 on this machine.

    Raises ProfileRefused, and nothing else.
    """
    try:
        options, trouble = read_options(profile)
        for option in options if trouble else ():
            if option.name in REFUSED:  # what is there may say why something is missing: "secret", "server"
                raise refusal(option, advice(option, REFUSED[option.name].reason))
        if trouble:
            raise ProfileRefused(trouble)
        return Compiler(options, providers).compiled()
    except ProfileTextError as error:
        raise ProfileRefused(str(error)) from None


class Compiler:
    """One pass over the options of a profile.

    An option with something to it has a method of its name; all others are handed on as they are.
    """

    def __init__(self, options: list[Option], providers: Sequence[ListedProvider] | None) -> None:
        """Read `options`; without a list of `providers`, any may be one.  Raises ProfileRefused, ProfileTextError."""
        self.pkcs11 = Pkcs11Options(providers)
        self.dropped: dict[str, tuple[str, list[int]]] = {}  # what → reason, lines
        self.top = self.scope = ConnectionScope()
        self.connections: list[ConnectionScope] = []
        self.inner = {
            option.line: tokenize(option.block, option.line + 1, nested=True)
            for option in options
            if option.name == "connection" and option.block is not None
        }
        everything = [*options, *(option for inside in self.inner.values() for option in inside)]
        if len(everything) > MAX_OPTIONS:
            raise ProfileRefused(f"the profile has more than {MAX_OPTIONS} options")
        self.names = {option.name for option in everything}
        self.blocks = {option.name for option in everything if option.block is not None}
        self.proto_force: str | None = None
        self.tun_type_given = any(o.name == "dev-type" and o.params == ("tun",) for o in options)
        self.verbosity = DEFAULT_VERBOSITY
        self.network = NetworkOptions(self.drop)
        self.typed = TypedInput(self.names, self.emit, self.drop)
        self.proxies = Proxies(self.names, self.blocks, self.drop)
        ignored = (option.params for option in everything if option.name == "ignore-unknown-option")
        self.may_be_unknown = {name for names in ignored for name in names}
        self.awaited: dict[str, Option] = {}  # "ca [inline]": its block must follow or have come
        for option in options:
            self.option(option)

    def compiled(self) -> CompiledProfile:
        """The result, once all options are read."""
        for name, option in self.awaited.items():
            if name not in self.blocks:
                raise refusal(option, f"says [inline], but there is no block <{name}>")
        self.connections = self.connections or [self.top]
        servers = Servers(self.connections, self.top, one_proxy=self.proxies.one_for_all)
        for option, reason in servers.left_out:
            self.drop(option, reason, f"remote {option.params[0]}")
        for option in servers.surplus:
            self.drop(option, f"{MAX_REMOTES} servers are the most", "a further remote")
        remotes = [remote for remote in servers.remotes if self.proto_force in (None, remote.proto)]
        if not remotes and servers.left_out:
            raise refusal(*servers.left_out[0])
        if not remotes:
            raise ProfileRefused("the profile names no server that could be used: check remote and proto-force")
        if any(remote.proxy and remote.proxy.kind == "http" and remote.proto == "udp" for remote in remotes):
            raise ProfileRefused("http-proxy carries only TCP: use proto tcp-client, or remove http-proxy")
        pkcs11_lines, token_label = self.pkcs11.compiled(self.names)
        proxies = [scope.proxy for scope in self.connections]
        self.typed.asks[Need.PROXY_CREDENTIALS] = self.proxies.asks_for_credentials(proxies)
        proxy_lines = self.proxies.before_all(proxies, in_blocks=bool(self.inner))
        return CompiledProfile(
            config=proxy_lines + "".join(self.top.lines) + pkcs11_lines,
            warnings=self._warnings(),
            remotes=tuple(remotes),
            random_names="remote-random-hostname" in self.names,
            needs=self.typed.needs,
            static_challenge=self.typed.static_challenge,
            login=self.typed.login,
            verbosity=self.verbosity,
            network=tuple(self.network.kept),
            key_on_token=bool(pkcs11_lines),
            token_label=token_label,
        )

    def option(self, option: Option) -> None:
        """Take one option of the current scope."""
        rule = OPTIONS.get(option.name)
        if rule is None:
            self.unknown(option)
        elif rule.treatment is Treatment.REFUSED:
            raise refusal(option, advice(option, rule.reason))
        elif rule.treatment is Treatment.IGNORED:
            self.drop(option, rule.reason)
        elif option.name == "setenv" and option.params and not for_tunnel(option.params[0]):
            if option.params[0] not in OF_OTHER_CLIENTS:
                self.drop(option, "only programs would see it, and none are run", f"setenv {shown(option.params[0])}")
        elif self.scope is not self.top and not rule.in_connection:
            raise refusal(option, "is not allowed in a <connection> block; move it out")
        elif self.well_formed(option, rule):
            special = _SPECIAL.get(option.name)
            if special:
                special(self, option)
            elif rule.treatment is Treatment.ALLOWED:
                self.emit(option)

    def unknown(self, option: Option) -> None:
        """Leave out an option that OpenVPN does not have, unless it is misspelt, or needed; refuses those."""
        what, reason = unknown(option, optional=option.optional or option.name in self.may_be_unknown)
        self.drop(option, reason, what)

    def well_formed(self, option: Option, rule: Rule) -> bool:
        """Whether the engine would accept the form of `option`; refuses it otherwise."""
        given = len(option.params) + (option.block is not None)
        if why := unfit(option, rule):
            raise refusal(option, why)
        if rule.embed is Embed.MUST and option.params and option.name not in ASKED:
            if option.params[0] not in INLINE:
                raise no_file(option)
            self.awaited[option.name] = option
            if option.name == "tls-auth" and len(option.params) == 2:
                self.emit(Option("key-direction", option.params[1:], line=option.line))
            return False
        if rule.least <= given <= rule.most:
            if file := credentials_file(option):
                self.drop(option, "files are not read; what it holds is asked for", f"{option.name} {shown(file)}")
            return True
        if option.optional:
            self.drop(option, "its parameters are not understood")
            return False
        wanted = str(rule.least) if rule.least == rule.most else f"{rule.least} to {rule.most}"
        hint = "; a text with spaces needs quotes" if given > rule.most > 0 else ""
        raise refusal(option, f"takes {wanted} parameters, not {given}{hint}")

    def emit(self, option: Option) -> None:
        """Hand `option` to the engine."""
        self.scope.lines.append(render(option))
        self.network.keep(option)

    def drop(self, option: Option, reason: str, what: str | None = None) -> None:
        """Leave `option` out, and say so."""
        self.dropped.setdefault(what or option.name, (reason, []))[1].append(option.line)

    # Options with something to them, by name

    def dev(self, option: Option) -> None:
        device = option.params[0]
        if not device.startswith("tun") and not self.tun_type_given:
            raise refusal(option, f"asks for a device {shown(device)}; {_ONLY_TUN}")

    def dev_type(self, option: Option) -> None:
        if option.params[0] != "tun":
            raise refusal(option, _ONLY_TUN)

    def mode(self, option: Option) -> None:
        if option.params[0] != "p2p":
            raise refusal(option, "this is a server's profile")

    def verb(self, option: Option) -> None:
        level = read_number(option, option.params[0])
        if level > MAX_VERBOSITY:
            self.drop(option, f"{MAX_VERBOSITY} is the most", f"verb {level}")
        self.verbosity = min(level, MAX_VERBOSITY)

    def proto(self, option: Option) -> None:
        self.scope.proto = read_proto(option, option.params[0])
        self.scope.family = family_of(option.params[0])
        self.emit(option)

    def force_proto(self, option: Option) -> None:
        self.proto_force = read_proto(option, option.params[0])
        self.emit(option)

    def port(self, option: Option) -> None:
        read_port(option, option.params[0])
        self.scope.port = option.params[0]
        self.emit(option)

    def remote(self, option: Option) -> None:
        self.scope.remote(option)
        if self.scope is self.top and self.inner:
            self.drop(option, "the <connection> blocks name the servers")
            return
        self.scope.remotes.append((option, len(self.scope.lines)))
        self.scope.lines.append("")

    def connection(self, option: Option) -> None:
        self.scope = replace(self.top, remotes=[], lines=[])
        for inner in self.inner[option.line]:
            self.option(inner)
        if len(self.scope.remotes) != 1:
            raise refusal(option, "each <connection> block needs exactly one remote")
        self.scope.block = (option, len(self.top.lines))
        self.top.lines.append("")
        self.connections.append(self.scope)
        self.scope = self.top

    def proxy(self, option: Option) -> None:
        self.scope.proxy = self.proxies.read(self.scope.proxy, option)

    def http_proxy_user_pass(self, option: Option) -> None:
        if option.block is not None:
            self.proxies.read_credentials(option)
        elif option.params[0] in INLINE:
            self.awaited[option.name] = option

    def auth_user_pass(self, option: Option) -> None:
        if option.params[:1] and option.params[0] in INLINE:
            self.awaited[option.name] = option
            return
        self.typed.auth_user_pass(option)

    def providers(self, option: Option) -> None:
        if not _PROVIDERS.issuperset(option.params):
            raise refusal(option, f"only {', '.join(sorted(_PROVIDERS))} may be loaded")
        self.emit(option)

    def setenv(self, option: Option) -> None:
        match option.params:
            case ("SERVER_POLL_TIMEOUT", seconds):
                self.emit(Option("server-poll-timeout", (seconds,), line=option.line))
            case ("PUSH_PEER_INFO", *_):
                self.emit(Option("push-peer-info", line=option.line))
            case _:
                self.emit(option)

    def _warnings(self) -> tuple[str, ...]:
        texts = [f"{what} ({places(lines)}) is ignored: {why}" for what, (why, lines) in self.dropped.items()]
        if len(texts) > MAX_PROFILE_WARNINGS:
            texts[MAX_PROFILE_WARNINGS:] = [f"{len(texts) - MAX_PROFILE_WARNINGS} further options are ignored"]
        return tuple(texts)


_SPECIAL = {
    **dict.fromkeys(PKCS11_OPTIONS, lambda compiler, option: compiler.pkcs11.read(option)),
    "dev": Compiler.dev,
    "dev-type": Compiler.dev_type,
    "mode": Compiler.mode,
    "route": lambda compiler, option: compiler.network.route(option),
    "route-ipv6": lambda compiler, option: compiler.network.route(option),
    "verb": Compiler.verb,
    "proto": Compiler.proto,
    "proto-force": Compiler.force_proto,
    "port": Compiler.port,
    "rport": Compiler.port,
    "remote": Compiler.remote,
    "connection": Compiler.connection,
    "http-proxy": Compiler.proxy,
    "http-proxy-option": Compiler.proxy,
    "http-proxy-user-pass": Compiler.http_proxy_user_pass,
    "socks-proxy": Compiler.proxy,
    "auth-user-pass": Compiler.auth_user_pass,
    "key": lambda compiler, option: compiler.typed.key(option),
    "pkcs12": lambda compiler, option: compiler.typed.pkcs12(option),
    "askpass": lambda compiler, option: compiler.typed.askpass(option),
    "static-challenge": lambda compiler, option: compiler.typed.ask_challenge(option),
    "providers": Compiler.providers,
    "setenv": Compiler.setenv,
}
