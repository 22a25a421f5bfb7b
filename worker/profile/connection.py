"""The options of a profile that apply to some of its servers only (openvpn(8), <connection>)."""

import msgspec

from ...policy.profile.syntax import Option
from .proxy import ProxyOptions
from .values import Remote, family_of, read_host, read_port, read_proto


class ConnectionScope(msgspec.Struct):
    """What applies to the servers named in one scope: the whole profile, or a <connection> block."""

    proto: str = "udp"
    family: int = 0
    port: str = "1194"
    proxy: ProxyOptions = ProxyOptions()
    remotes: list[Option] = []
    lines: list[str] = []  # rendered

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
