"""Accounts of the system: the one the service runs as, and names to show for user ids."""

import pwd
from functools import lru_cache

from ..ipc.exitcodes import Exit
from .errors import StartError

# Debian's and upstream's name for the account of the OpenVPN 3 Linux services.
_SERVICE_ACCOUNTS = ("_openvpn", "openvpn")


def service_account() -> pwd.struct_passwd:
    """The account to run as.  Raises StartError if the system has none."""
    for name in _SERVICE_ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StartError(
        f"There is no account {' or '.join(_SERVICE_ACCOUNTS)}; create one: "
        f"useradd --system --no-create-home --shell /usr/sbin/nologin {_SERVICE_ACCOUNTS[0]}",
        Exit.CANNOT_START,
    )


@lru_cache(maxsize=256)
def account_name(uid: int) -> str:
    """The name of an account, or its number; may ask a directory service, so call it off the loop."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
