"""A profile comes to the service with the certificates and keys that it names as files."""

import base64
import os
from pathlib import Path

import pytest

from ...ctl.profile_file import CREDENTIALS, ProfileFile, embed_files, read_profile
from ...policy.limits import MAX_CREDENTIALS_FILE, MAX_PROFILE
from ...policy.profile.syntax import MAX_LINES, tokenize
from ...worker.profile.verdict import verdict

HEADER = b"Gr\xfc\xdfe\n"  # Latin-1, as in the text that some tools write before a certificate
PEM = b"-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"


def options(profile: ProfileFile | str) -> list[tuple[str, tuple[str, ...], str | None]]:
    text = profile if isinstance(profile, str) else profile.text
    return [(option.name, option.params, option.block) for option in tokenize(text)]


def said(profile: ProfileFile) -> list[tuple[str, int, str]]:
    """What there is to say of files, the refusals first."""
    return [(one.option, one.line, one.reason) for one in (*profile.refused, *profile.stored, *profile.warnings)]


def test_files_become_blocks(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "ca.crt").write_text("CERTIFICATE\nof two lines")
    (tmp_path / "keys" / "my key").write_text("KEY\n")
    (tmp_path / "keys" / "my key").chmod(0o600)
    (tmp_path / "profile").write_text(
        'client\r\nca ca.crt\r\n# ca other.crt\nkey "keys/my key"\n<cert>\nthere\n</cert>\nremote a 1'
    )
    profile = read_profile(str(tmp_path / "profile"))
    assert options(profile) == [
        ("client", (), None),
        ("cert", (), "there\n"),
        ("remote", ("a", "1"), None),
        ("ca", (), "CERTIFICATE\nof two lines\n"),
        ("key", (), "KEY\n"),
    ]
    assert said(profile) == []


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    """Also in what the service says of the stored text."""
    for name, content in {"ca.crt": "CA\n" * 9, "ta.key": "KEY\n", "empty": " \n", "pw": "me\nsecret\n"}.items():
        (tmp_path / name).write_text(content)
    text = "client\nca ca.crt\ntls-auth ta.key 1\ndev tap\n  cert empty\nhttp-proxy p 1 pw\nremote a b\nplugin x"
    profile = embed_files(text, tmp_path)
    refused = [(one.option, one.line) for one in verdict(profile.text).refused]
    assert refused == [("dev", 4), ("remote", 7), ("plugin", 8), ("cert", 5)]
    blocks = "<connection>\nremote a\nhttp-proxy p 1\n</connection>\n<connection>\nremote b\n</connection>\n"
    text = "client\ndev tun\nca ca.crt\nproto tcp\n" + "#\n" * 5 + "http-proxy-user-pass pw\n" + blocks
    [refusal] = verdict(embed_files(text, tmp_path).text).refused
    assert (refusal.option, refusal.line) == ("http-proxy-user-pass", 10)


def test_the_direction_of_a_tls_auth_key_is_kept(tmp_path: Path) -> None:
    (tmp_path / "ta.key").write_text("KEY\n")
    assert options(embed_files("tls-auth ta.key 1\nverb 3", tmp_path)) == [
        ("key-direction", ("1",), None),
        ("verb", ("3",), None),
        ("tls-auth", (), "KEY\n"),
    ]


def test_pkcs12_is_embedded_as_base64(tmp_path: Path) -> None:
    content = bytes(range(256))
    (tmp_path / "me.p12").write_bytes(content)
    [(name, _, block)] = options(embed_files("pkcs12 me.p12", tmp_path))
    assert name == "pkcs12" and block is not None and base64.b64decode(block) == content


def test_the_last_option_of_a_name_counts(tmp_path: Path) -> None:
    """As for the engine, which does not look at the other files."""
    (tmp_path / "b").write_text("B\n")
    assert options(embed_files("ca a\nca b\nca [inline]\n", tmp_path)) == [
        ("ca", ("[inline]",), None),
        ("ca", (), "B\n"),
    ]
    assert options(embed_files("ca a\ntls-auth a 1\n<ca>\nC\n</ca>\n<tls-auth>\nD\n</tls-auth>\n", tmp_path)) == [
        ("key-direction", ("1",), None),
        ("ca", (), "C\n"),
        ("tls-auth", (), "D\n"),
    ]
    assert options(embed_files("<ca>\nC\n</ca>\nca b\n", tmp_path))[-1] == ("ca", (), "B\n")
    assert options(embed_files("auth-user-pass a\nauth-user-pass\n", tmp_path)) == [("auth-user-pass", (), None)]


@pytest.mark.parametrize(
    "text",
    [
        "up secret",
        "nonsense secret",
        "config secret",
        "ca [inline]",
        "tls-crypt-v2 secret b",
        "crl-verify secret dir",
        "askpass secret",
        "socks-proxy p 1 secret",
        "auth-user-pass",
        "http-proxy p 1 auto",
        "<connection>\nremote a\ntls-auth secret\n</connection>",
        "remote 'quote\nca secret",
        "<html>\nca secret",
        "\0",
    ],
)
def test_what_is_left_to_the_service(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("PRIVATE")
    assert embed_files(text, tmp_path) == ProfileFile(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "a.crt cannot be read: No such file or directory"),
        (b"\xff", "is not PEM"),
        (b"a\0", "is not PEM"),
        (PEM.replace(b"MII", b"\xff"), "is not PEM"),
        (b"x\n</ca>\nup /bin/sh\n", "contains </ca>"),
        (b"x" * (MAX_PROFILE + 1), "larger than 4 MiB"),
        (b"x\n" * (MAX_LINES + 1), f"cannot be embedded: more than {MAX_LINES} lines"),
        ((b"x" * 63 + b"\n") * (MAX_PROFILE // 64), "with the files it names it is larger than 4 MiB"),
    ],
)
def test_files_that_cannot_be_embedded(content: bytes | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.crt").write_bytes(content)
    (tmp_path / "profile").write_text("client\nca a.crt\n")
    profile = read_profile(str(tmp_path / "profile"))
    [refusal] = profile.refused
    assert words in refusal.reason
    assert refusal in profile.verdict().refused


def test_text_beside_a_certificate_may_be_of_any_encoding(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(HEADER + PEM)
    [(_, _, block)] = options(embed_files("ca ca.crt", tmp_path))
    assert block is not None and block.encode("utf-8").endswith(PEM)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """Opening a FIFO would wait for a writer."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    (tmp_path / "ca").mkdir()
    for name in ("fifo", "link"):
        assert f"{name} is no regular file" in said(embed_files(f"ca {name}", tmp_path))[0][2]
    assert "is no regular file" in said(embed_files("ca /dev/null", tmp_path))[0][2]
    assert "ca is a directory" in said(embed_files("ca ca", tmp_path))[0][2]
    [(_, _, reason)] = said(embed_files("ca ~/ca.crt", tmp_path))
    assert "~/ca.crt cannot be read" in reason and '"~" stands for no directory' in reason


def test_cd_names_the_directory_of_files(tmp_path: Path) -> None:
    """Never is a file of the same name taken from elsewhere."""
    for place in (".", "a", "a/b"):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / "ca").write_text(f"{place}\n")
    for cd, expected in {
        "cd a": "a\n",
        "--cd a": "a\n",
        "cd a\ncd b": "a/b\n",
        f"cd {tmp_path}/a/b\nverb 3": "a/b\n",
        "cd a/../a": "a\n",
        'cd "a"': "a\n",
        "": ".\n",
    }.items():
        for text in (f"ca ca\n{cd}\n", f"{cd}\nca ca\n"):
            profile = embed_files(text, tmp_path)
            assert profile.refused == () and ("ca", (), expected) in options(profile)
            assert "cd" not in [name for name, *_ in options(profile)], "cd is said to be ignored"
    assert "a/none cannot be read" in said(embed_files("cd a\nca none", tmp_path))[0][2]
    assert "none/ca cannot be read" in said(embed_files("cd none\nca ca", tmp_path))[0][2]
    for wrong in ("cd", "cd a b", "<cd>\na\n</cd>", "cd 'a", "cd a" + " b" * 20, "cd a\\"):
        assert "cd in line 2 has to name one directory" in said(embed_files(f"ca ca\n{wrong}\n", tmp_path))[0][2]
        assert embed_files(f"ca {tmp_path}/ca\n{wrong}\n", tmp_path).refused == ()


# User names and passwords


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("auth-user-pass pw", []),
        ("http-proxy-user-pass pw", []),
        ("http-proxy p 1 pw", [("http-proxy", ("p", "1", "stdin"), None)]),
        ("http-proxy p 1 pw basic", [("http-proxy", ("p", "1", "stdin", "basic"), None)]),
        ("http-proxy p 1 pw auto", [("http-proxy", ("p", "1", "stdin", "auto"), None)]),
    ],
)
def test_files_of_credentials(line: str, left: list[object], tmp_path: Path) -> None:
    name = "auth-user-pass" if line.startswith("auth") else "http-proxy-user-pass"
    (tmp_path / "pw").write_text("me\r\nsecret\r\n\r\n")
    (tmp_path / "pw").chmod(0o600)
    profile = embed_files(f"# x\n{line}\n", tmp_path)
    assert options(profile) == [*left, (name, (), "me\nsecret\n")]
    [(_, number, text)] = said(profile)
    assert number == 2 and "stored" in text and f"{tmp_path}/pw" in text and "--ask-credentials" in text
    (tmp_path / "pw").chmod(0o666)
    assert [text.rpartition(" may ")[2] for _, _, text in said(embed_files(line, tmp_path))[1:]] == [
        "be changed by other users",
        "be read by other users",
    ]
    asked = embed_files(line, tmp_path, ask=CREDENTIALS)
    assert said(asked) == [] and "secret" not in asked.text and "pw" not in asked.text
    assert options(asked)[: len(left)] == left and len(options(asked)) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "does not begin with a user name"),
        (b"\nsecret\n", "does not begin with a user name"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\ny\n", "more than two lines"),
        (b"me\xff\nsecret\n", "is not UTF-8"),
        (b"x" * (MAX_CREDENTIALS_FILE + 1), "holds more than a password"),
    ],
)
@pytest.mark.parametrize("line", ["auth-user-pass pw", "http-proxy p 1 pw", "http-proxy-user-pass pw"])
def test_what_is_no_file_of_credentials_is_asked_for(
    line: str, content: bytes | None, words: str, tmp_path: Path
) -> None:
    """A profile could name any file of the user's, and its server would be told the content."""
    if content is not None:
        (tmp_path / "pw").write_bytes(content)
    profile = embed_files(line, tmp_path)
    [(_, line_number, text)] = said(profile)
    assert not profile.refused and line_number == 1 and words in text and text.endswith("is asked for")
    assert [block for _, _, block in options(profile)] == [None]


def test_a_user_name_alone(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("me\n\n")
    assert options(embed_files("auth-user-pass pw", tmp_path)) == [("auth-user-pass", (), "me\n")]
    [(_, _, text)] = said(embed_files("http-proxy p 1 pw", tmp_path))
    assert "needs a user name and, on the next line, a password" in text


def test_credentials_in_the_profile_itself(tmp_path: Path) -> None:
    text = "<auth-user-pass>\nme\nsecret\n</auth-user-pass>\n"
    [(name, line, reason)] = said(embed_files(text, tmp_path))
    assert (name, line) == ("auth-user-pass", 1) and "stored" in reason
    assert options(embed_files(text, tmp_path, ask=CREDENTIALS)) == [("auth-user-pass", (), None)]
