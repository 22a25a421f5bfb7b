"""What a profile says of addresses, routes and DNS: the worker joins it with what the server pushes."""

from collections.abc import Callable

from ...policy.limits import MAX_ROUTES
from ...policy.profile.syntax import Option
from .routes import read_route
from .values import shown

# What the worker has to know of the profile beside its routes, once the server has pushed its own part.
_KEPT = frozenset(
    (
        *("topology", "ifconfig", "ifconfig-ipv6", "route-gateway", "route-ipv6-gateway"),
        *("route-metric", "route-nopull", "redirect-gateway", "redirect-private", "block-ipv6", "dhcp-option", "dns"),
        *("allow-pull-fqdn", "pull-filter"),
    )
)


class NetworkOptions:
    """The options of one profile about addresses, routes and DNS."""

    def __init__(self, drop: Callable[[Option, str, str], None]) -> None:
        """An option is left out by `drop`."""
        self.kept: list[tuple[str, ...]] = []  # names first
        self._routes = 0
        self._drop = drop

    def keep(self, option: Option) -> None:
        """Keep an option that the engine gets, if the worker has to know it as well."""
        if option.name in _KEPT:
            self.kept.append((option.name, *option.params))

    def route(self, option: Option) -> None:
        """A route: kept instead of being handed to the engine, which would tell of none if it cannot make one."""
        words = (option.name, *option.params)
        self._routes += 1
        if self._routes > MAX_ROUTES:
            self._drop(option, f"{MAX_ROUTES} routes are the most", f"a further {option.name}")
            return
        try:
            read_route(words)
        except ValueError as error:
            self._drop(option, str(error), f"{option.name} {shown(option.params[0])}")
        else:
            self.kept.append(words)
