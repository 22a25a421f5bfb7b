"""The D-Bus error names and texts of the supervisor's errors.

Clients match on them, so they are those of OpenVPN 3 Linux (GDBus++): an error has its domain in its name, mangled, and
again before its text.  Errors of properties have the bus's own names, without a domain.
"""

from collections.abc import Mapping
from typing import TypeVar

from ..errors import (
    AccessDenied,
    InvalidValue,
    LogServiceError,
    NoSuchObject,
    NotReady,
    NotSupported,
    RequestRefused,
    SupervisorError,
)

_BUS_ERROR = "org.freedesktop.DBus.Error."
FAILED = _BUS_ERROR + "Failed"
INVALID_ARGS = _BUS_ERROR + "InvalidArgs"
UNKNOWN_METHOD = _BUS_ERROR + "UnknownMethod"
LIMITS_EXCEEDED = _BUS_ERROR + "LimitsExceeded"

MANAGER_DOMAIN = "net.openvpn.gdbuspp"
REQUEST_DOMAIN = "net.openvpn.gdbuspp.request"
READY_DOMAIN = "net.openvpn.v3.error.ready"
LOG_DOMAIN = "net.openvpn.v3.log.error"

Row = TypeVar("Row")

UNEXPECTED = "The service failed to do this; its log says why"

# Class → domain of the error a method gives, and what stands between domain and text.
_METHOD_ERRORS: dict[type[SupervisorError], tuple[str, str]] = {
    NotReady: (READY_DOMAIN, ": "),
    RequestRefused: (REQUEST_DOMAIN, ":  "),
    LogServiceError: (LOG_DOMAIN, ": "),
}
_OTHER_METHOD_ERROR = (MANAGER_DOMAIN, ": ")

# Class → name of the error that is the same for methods and properties.
_PLAIN_ERRORS: dict[type[SupervisorError], str] = {
    NotSupported: _BUS_ERROR + "NotSupported",
    NoSuchObject: UNKNOWN_METHOD,
}

# Class → name of the error that reading or setting a property gives.
_PROPERTY_ERRORS: dict[type[SupervisorError], str] = {
    AccessDenied: _BUS_ERROR + "AccessDenied",
    InvalidValue: FAILED,
}


class CallRejected(Exception):
    """A call that fits no row of the interface tables; has its D-Bus error name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


def describe(error: SupervisorError, *, of_property: bool = False) -> tuple[str, str]:
    """The D-Bus error name and text for `error`, given by a method or by a property."""
    text = str(error)
    if isinstance(error, NoSuchObject):
        # Clients give up at once on "No such interface", and retry for 1.5 s on anything else.
        text = f"Object does not exist at path “{error.path}” (No such interface)"
    if name := _look_up(_PLAIN_ERRORS, error):
        return name, text
    if of_property:
        return _look_up(_PROPERTY_ERRORS, error) or FAILED, text
    domain, separator = _look_up(_METHOD_ERRORS, error) or _OTHER_METHOD_ERROR
    return gdbus_error_name(domain), f"GDBus.Error:{domain}{separator}{text}"


def _look_up(table: Mapping[type[SupervisorError], Row], error: SupervisorError) -> Row | None:
    return next((table[kind] for kind in type(error).__mro__ if kind in table), None)


def gdbus_error_name(domain: str) -> str:
    """The error name that GDBus makes of a domain of its own: "a.b" → "…Quark._a_2eb.Code36"."""
    mangled = "".join(letter if letter.isalnum() else f"_{ord(letter):02x}" for letter in domain)
    return f"org.gtk.GDBus.UnmappedGError.Quark._{mangled}.Code36"
