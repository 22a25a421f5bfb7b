"""Error names and texts, as each existing client matches on them."""

import re

import pytest

from ...supervisor import errors
from ...supervisor.bus.errors import describe, gdbus_error_name


def _stripped(text: str) -> str:
    """What GDBus++ clients are left with: one `GDBus.Error:NAME: ` less."""
    return re.sub(r"^GDBus\.Error:\S+?: ", "", text)


def test_ready_tells_the_command_line_to_ask() -> None:
    name, text = describe(errors.NotReady("Missing user credentials"))
    assert text == "GDBus.Error:net.openvpn.v3.error.ready: Missing user credentials"
    assert name == "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2ev3_2eerror_2eready.Code36"
    # The Python module looks for the words after a blank in "name: text".
    assert " Missing user credentials" in f"{name}: {text}"


def test_errors_of_requests_have_two_blanks() -> None:
    name, text = describe(errors.RequestRefused("Connection is already paused"))
    assert text == "GDBus.Error:net.openvpn.gdbuspp.request:  Connection is already paused"
    assert name == "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2egdbuspp_2erequest.Code36"


def test_errors_of_the_log_service() -> None:
    name, text = describe(errors.LogServiceError("Already attached"))
    assert name == "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2ev3_2elog_2eerror.Code36"
    assert text == "GDBus.Error:net.openvpn.v3.log.error: Already attached"


def test_errors_of_the_manager() -> None:
    name, text = describe(errors.CallerError("Interface not found"))
    assert name == "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2egdbuspp.Code36"
    assert text == "GDBus.Error:net.openvpn.gdbuspp: Interface not found"
    assert _stripped(text) == "Interface not found"
    # openvpn2 shows a warning of Validate only if it finds the marker beyond the 67th character.
    assert f"{name}: {text}".index("GDBus.Error:net.openvpn.gdbuspp:") > 67


def test_the_indicator_shows_the_text_alone() -> None:
    _, text = describe(errors.CallerError("A session with this configuration profile is already running"))
    assert re.sub(r"^.*GDBus.Error:\S*", "", text) == " A session with this configuration profile is already running"


def test_a_missing_object() -> None:
    for of_property in (False, True):
        name, text = describe(errors.NoSuchObject("/a/b"), of_property=of_property)
        # openvpn2 swallows a failing Disconnect for exactly this name.
        assert name == "org.freedesktop.DBus.Error.UnknownMethod"
        assert "No such interface" in text  # the existence test gives up at once
        assert "Object does not exist at path “/a/b”" in text


@pytest.mark.parametrize(
    ("error", "name", "text"),
    [
        (errors.AccessDenied(), "AccessDenied", "Access denied"),
        (errors.InvalidValue("Incorrect log level"), "Failed", "Incorrect log level"),
        (errors.CallerError("DCO mode cannot be changed now"), "Failed", "DCO mode cannot be changed now"),
        (errors.RequestRefused("no"), "Failed", "no"),
        (errors.SystemFailure("the disk is full"), "Failed", "the disk is full"),
        (errors.NotSupported("Setting dco"), "NotSupported", "Setting dco is not supported yet"),
    ],
)
def test_errors_of_properties_go_by_the_names_of_the_bus(error: errors.SupervisorError, name: str, text: str) -> None:
    assert describe(error, of_property=True) == (f"org.freedesktop.DBus.Error.{name}", text)


def test_access_denied_by_a_method_and_by_a_property() -> None:
    assert describe(errors.AccessDenied())[1] == "GDBus.Error:net.openvpn.gdbuspp: Access denied"
    assert describe(errors.AccessDenied(), of_property=True)[1] == "Access denied"


def test_not_supported() -> None:
    assert describe(errors.NotSupported("LogForward")) == (
        "org.freedesktop.DBus.Error.NotSupported",
        "LogForward is not supported yet",
    )


def test_a_class_below_a_row_takes_that_row() -> None:
    class Busy(errors.RequestRefused):
        pass

    assert describe(Busy("busy"))[1] == "GDBus.Error:net.openvpn.gdbuspp.request:  busy"


def test_every_error_is_described() -> None:
    made = [
        errors.AccessDenied("x"),
        errors.NotSupported("x"),
        errors.NoSuchObject("/x"),
        errors.NotReady("x"),
        errors.RequestRefused("x"),
        errors.InvalidValue("x"),
        errors.LogServiceError("x"),
        errors.ProtocolViolation("x"),
        errors.SystemFailure("x"),
    ]
    kinds = {kind for kind in errors.CallerError.__subclasses__() if kind.__module__ == errors.__name__}
    assert kinds <= {type(error) for error in made}
    for error in made:
        for of_property in (False, True):
            name, text = describe(error, of_property=of_property)
            assert re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name)
            assert text


def test_mangled_names() -> None:
    assert gdbus_error_name("a-b.c") == "org.gtk.GDBus.UnmappedGError.Quark._a_2db_2ec.Code36"
