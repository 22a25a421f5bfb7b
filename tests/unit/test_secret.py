"""Texts that a user typed: put together as the ordinary functions do it."""

import base64

from hypothesis import given
from hypothesis import strategies as st
from openvpn3_sessionmgr.worker import secret
from openvpn3_sessionmgr.worker.management import quote

TEXTS = st.binary(max_size=20) | st.text(alphabet='a"\\é', max_size=20).map(str.encode)


@given(TEXTS)
def test_base64_is_base64(text: bytes) -> None:
    assert secret.in_base64(bytearray(text)) == base64.b64encode(text)


@given(st.text(alphabet='a"\\é日 ', max_size=20))
def test_quoting_is_that_of_commands(text: str) -> None:
    assert secret.quoted(bytearray(text.encode())) == quote(text).encode()


@given(st.lists(TEXTS, max_size=4))
def test_joining_joins(parts: list[bytes]) -> None:
    assert secret.joined(*parts) == b"".join(parts)


@given(TEXTS)
def test_nothing_is_left_of_what_is_overwritten(text: bytes) -> None:
    buffer = bytearray(text)
    secret.overwrite(buffer)
    assert buffer == bytes(len(text))
