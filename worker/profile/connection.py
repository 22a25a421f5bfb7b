"""The options of a profile that apply to some of its servers only (openvpn(8), <connection>)."""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from ...policy.limits import MAX_REMOTES
from ...policy.profile.syntax import Option, render
from .proxy import ProxyOptions
from .values import Remote, family_of, read_host, read_port, read_proto, version_of


class ConnectionScope(msgspec.Struct):
    """What applies to the servers named in one scope: the whole profile, or a <connection> block."""

    proto: str = "udp"
    family: int = 0
    port: str = "1194"
    proxy: ProxyOptions = ProxyOptions()
    block: tuple[Option, int] | None = None  # <connection>, and its place among the lines of the whole profile
    remotes: list[tuple[Option, int]] = []  # with their places among the lines
    lines: list[str] = []  # rendered; those with servers are left empty until all servers are known

    def remote(self, option: Option) -> Remote:
        """The server that a `remote` of this scope names.  Raises ProfileRefused."""
        host, port, proto, *_ = [*option.params, "", ""]
        return Remote(
            read_host(option, host),
            read_port(option, port or self.port),
            read_proto(option, proto) if proto else self.proto,
            self.proxy.proxy,
            family_of(proto) if proto else self.family,
        )


class Servers:
    """The servers of a profile, once all of it is read; completes the lines that name them."""

    def __init__(self, scopes: Sequence[ConnectionScope], top: ConnectionScope, *, one_proxy: bool) -> None:
        """With `one_proxy`, the whole profile has it, and no block its own.  Raises ProfileRefused."""
        self.remotes: list[Remote] = []
        self.left_out: list[tuple[Option, str]] = []  # with the reason
        self.surplus: list[Option] = []  # beyond MAX_REMOTES
        named = [(scope, *named, scope.remote(named[0])) for scope in scopes for named in scope.remotes]
        of_any_family = {remote.host for *_, remote in named if not remote.family}
        for scope, option, place, remote in named:
            if len(self.remotes) == MAX_REMOTES:
                self.surplus.append(option)
                continue
            if remote.family and not remote.proxy:
                if version_of(remote.host) not in (0, remote.family):
                    self.left_out.append((option, f"it is no IPv{remote.family} address"))
                    continue
                if remote.host in of_any_family:
                    # One name would have an address of each family, and the engine may take any for the other remote.
                    remote = replace(remote, alias=f"{remote.host}.")
            self.remotes.append(remote)
            scope.lines[place] = render(replace(option, params=(remote.alias or remote.host, *option.params[1:])))
            if scope.block is not None:
                inside = "".join(scope.lines) + ("" if one_proxy else scope.proxy.rendered())
                top.lines[scope.block[1]] = render(replace(scope.block[0], block=inside))
