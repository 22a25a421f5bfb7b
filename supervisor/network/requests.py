"""Requests to the kernel to have something there, or there no longer, and what its refusals mean.

By rtnetlink(7).
"""

import errno

from ...kernel.netlink import wire
from ...kernel.netlink.netlink_socket import NetlinkSocket
from ..errors import SystemFailure

ANEW = wire.NLM_F_CREATE | wire.NLM_F_EXCL  # if there is none like it
INSTEAD = wire.NLM_F_CREATE | wire.NLM_F_REPLACE
# What disable_ipv6, and no IPv6 at all, give
_IPV6_IS_OFF = {errno.EACCES, errno.EOPNOTSUPP, errno.EAFNOSUPPORT}
_GONE = {errno.ENODEV, errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL, errno.ENETDOWN}


class Refused(SystemFailure):
    """The kernel refused a request, for this reason, or did not answer it."""

    def __init__(self, what: str, reason: OSError) -> None:
        super().__init__(f"{what}: {reason.strerror or reason}")
        self.errno = reason.errno

    @property
    def gone(self) -> bool:
        """What it is about is not there."""
        return self.errno in _GONE


class IPv6Off(SystemFailure):
    """IPv6 is switched off on this machine or device."""


def request(link: NetlinkSocket, what: str, kind: int, body: bytes, flags: int = 0) -> None:
    """Have the kernel do what `what` says cannot be done if it refuses.  Raises Refused."""
    try:
        link.request(kind, body, flags)
    except OSError as error:
        raise Refused(what, error) from error


def add(link: NetlinkSocket, what: str, kind: int, version: int, body: bytes, flags: int = ANEW) -> bool:
    """Have something of this version of IP there; False if it is there already.

    Raises Refused, or IPv6Off where that is the reason.
    """
    try:
        request(link, what, kind, body, flags)
    except Refused as refused:
        if refused.errno == errno.EEXIST:
            return False
        if refused.errno in _IPV6_IS_OFF and version == 6:
            raise IPv6Off(str(refused)) from refused
        raise
    return True


def remove(link: NetlinkSocket, what: str, kind: int, body: bytes) -> bool:
    """Have something there no longer; False if it was not there.  Raises Refused."""
    try:
        request(link, what, kind, body)
    except Refused as refused:
        if refused.gone:
            return False
        raise
    return True
