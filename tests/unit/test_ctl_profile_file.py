"""A profile comes to the service with the certificates and keys that it names as files."""

import base64
from pathlib import Path

import pytest

from ...ctl.exits import CommandError, CommandExit
from ...ctl.profile_file import embed_files, read_profile
from ...policy.limits import MAX_PROFILE
from ...policy.profile.syntax import tokenize


def options(text: str) -> list[tuple[str, tuple[str, ...], str | None]]:
    return [(option.name, option.params, option.block) for option in tokenize(text)]


def test_files_become_blocks_where_they_were_named(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "ca.crt").write_text("CERTIFICATE\nof two lines")
    (tmp_path / "keys" / "my key").write_text("KEY\n")
    (tmp_path / "profile").write_text(
        'client\r\nca ca.crt\r\n# ca other.crt\nkey "keys/my key"\n<cert>\nthere\n</cert>\nremote a 1\n'
    )
    assert options(read_profile(str(tmp_path / "profile"))) == [
        ("client", (), None),
        ("ca", (), "CERTIFICATE\nof two lines\n"),
        ("key", (), "KEY\n"),
        ("cert", (), "there\n"),
        ("remote", ("a", "1"), None),
    ]


def test_the_direction_of_a_tls_auth_key_is_kept(tmp_path: Path) -> None:
    (tmp_path / "ta.key").write_text("KEY\n")
    assert options(embed_files("tls-auth ta.key 1", tmp_path)) == [
        ("key-direction", ("1",), None),
        ("tls-auth", (), "KEY\n"),
    ]


def test_pkcs12_is_embedded_as_base64(tmp_path: Path) -> None:
    content = bytes(range(256))
    (tmp_path / "me.p12").write_bytes(content)
    [(name, _, block)] = options(embed_files("pkcs12 me.p12", tmp_path))
    assert name == "pkcs12" and block is not None and base64.b64decode(block) == content


@pytest.mark.parametrize(
    "text",
    [
        "auth-user-pass secret",
        "http-proxy-user-pass secret",
        "up secret",
        "nonsense secret",
        "config secret",
        "ca [inline]",
        "tls-crypt-v2 secret b",
        "unclosed 'quote\nca secret",
    ],
)
def test_what_is_left_to_the_service(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("PRIVATE")
    assert embed_files(text, tmp_path) == text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "a.crt (ca in line 2) cannot be read: No such file or directory"),
        (b"\xff", "not UTF-8"),
        (b"a\0", "NUL"),
        (b"x\n</ca>\nup /bin/sh\n", "contains </ca>"),
        (b"x" * (MAX_PROFILE + 1), "larger than 4 MiB"),
        (b"x" * MAX_PROFILE, "larger than 4 MiB"),
    ],
)
def test_files_that_cannot_be_embedded(content: bytes | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.crt").write_bytes(content)
    (tmp_path / "profile").write_text("client\nca a.crt\n")
    with pytest.raises(CommandError) as caught:
        read_profile(str(tmp_path / "profile"))
    assert words in caught.value.message and caught.value.status == CommandExit.REFUSED
