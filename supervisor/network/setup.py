"""The network of sessions, made as the service's options say."""

from ...policy.configuration.options import Options
from ..logging.log import Log
from .apply import Network
from .default_route.redirections import Terms
from .default_route.rules import Numbers
from .locking.lock_rules import Terms as LockTerms


def network_of(options: Options, log: Log, tun_directory: int | None, ipv6_settings: int | None) -> Network:
    """Make it; what it notes is below the runtime directory.  Raises OSError if that cannot be used."""
    return Network(
        options.runtime_dir / "devices",
        log,
        tun_directory,
        ipv6_settings,
        public_networks=options.public_networks == "allow",
        named=options.device_names,
        terms=Terms(
            uids=options.session_uids,
            numbers=Numbers(options.redirect_rules, options.redirect_tables),
            mark=options.redirect_mark,
            while_not_connected=options.while_not_connected,
        ),
        lock_terms=LockTerms(options.session_uids, options.kill_switch_allow),
    )
