"""What must not reach the bus, since it hangs up over it."""

from typing import Any

import pytest
from dbus_fast import Variant

from ...supervisor.bus.wire import check_body, fits


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("", []),
        ("us", [1, "text"]),
        ("ao", [["/", "/a/b"]]),
        ("(uus)", [(2, 7, "")]),
        ("(uus)", [[2, 7, ""]]),
        ("a{sv}", [{"a": Variant("s", "x"), "b": Variant("(so)", ("x", "/"))}]),
        ("a{sx}", [{"BYTES_IN": 1 << 40}]),
        ("a(uu)", [[(1, 2)]]),
        ("v", [Variant("ao", [])]),
        ("ay", [b"\0\0"]),
    ],
)
def test_sound_bodies(signature: str, body: list[Any]) -> None:
    check_body(signature, body)
    assert fits(signature, body)


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("s", ["a\0b"]),
        ("as", [["ok", "\0"]]),
        ("(us)", [(1, "\0")]),
        ("a{sx}", [{"\0": 1}]),
        ("a{sv}", [{"a": Variant("s", "\0")}]),
        ("v", [Variant("as", ["\0"])]),
        ("o", ["no path"]),
        ("o", [""]),
        ("ao", [["/", "/a/"]]),
        ("a{os}", [{"x": "y"}]),
        ("v", [Variant("(o)", ("//",), False)]),
    ],
)
def test_what_the_bus_would_hang_up_on(signature: str, body: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"NUL|object path"):
        check_body(signature, body)
    assert not fits(signature, body)


@pytest.mark.parametrize(
    ("signature", "body"), [("s", []), ("", [1]), ("(us)", [(1,)]), ("(us)", [(1, "x", 2)]), ("a(uu)", [[(1, 2, 3)]])]
)
def test_wrong_counts(signature: str, body: list[Any]) -> None:
    with pytest.raises(ValueError, match="values for"):
        check_body(signature, body)


@pytest.mark.parametrize(("signature", "body"), [("u", [-1]), ("u", ["1"]), ("s", [1]), ("a{sv}", [{"a": "x"}])])
def test_wrong_types_do_not_fit(signature: str, body: list[Any]) -> None:
    assert not fits(signature, body)
