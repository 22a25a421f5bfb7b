"""The tokenizer: what it reads, what it refuses, and that the real engine reads the same."""

import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ...policy.profile.syntax import (
    MAX_LINE,
    Option,
    ProfileTextError,
    decode,
    render,
    tokenize,
    words_of,
)
from ...policy.profile.validity import problem


def read(text: str) -> list[tuple[str, ...]]:
    return [(option.name, *option.params) for option in tokenize(text)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("remote a 1194", ("remote", "a", "1194")),
        ("\t remote\va\f1194 \r", ("remote", "a", "1194")),
        ("--remote a", ("remote", "a")),
        ("----remote a", ("--remote", "a")),
        ("-- a", ("--", "a")),
        ('"--up" a', ("up", "a")),
        ("u'p' a", ("u'p'", "a")),
        ('"up"a', ("up", "a")),
        ("'a b' c", ("a b", "c")),
        ('x "a \\" \\\\ b"', ("x", 'a " \\ b')),
        ("x 'a \\ b'", ("x", "a \\ b")),
        ("x a\\ b", ("x", "a b")),
        ('x \\"a', ("x", '"a')),
        ("x a#b", ("x", "a#b")),
        ("x a #b", ("x", "a")),
        ("x ;b", ("x",)),
        ("x '#b'", ("x", "#b")),
        ('x ""', ("x", "")),
        ("x é\u00a0y", ("x", "é\u00a0y")),
        ("\ufeffx", ("x",)),
        ("<a> b", ("<a>", "b")),
    ],
)
def test_reads_a_line(line: str, words: tuple[str, ...]) -> None:
    assert read(line) == [words]


@pytest.mark.parametrize("text", ["", "\n\n", "# a", "  ; a", "#" * 9999, "\ufeff# a"])
def test_reads_nothing(text: str) -> None:
    assert tokenize(text) == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a\nb\0", 2, "NUL"),
        ("ca " + "a" * MAX_LINE, 1, "254 bytes"),
        ("ca " + "é" * 130, 1, "254 bytes"),
        ("ca" + " a" * 16, 1, "15 parameters"),
        ("\nca 'a", 2, "closing quote"),
        ('ca "a', 1, "closing quote"),
        ('ca "a\\', 1, "backslash"),
        ("ca a\\", 1, "backslash"),
        ("ca c:\\a", 1, "backslash"),
        ('ca "\\a"', 1, "backslash"),
        ("ca \\ a", 1, "escaped space"),
        ("ca \\#a", 1, "backslash"),
        ("ca \x07", 1, "control"),
        ("ca 'a\rb'", 1, "control"),
        ("ca a\x1cb", 1, "control"),
        ("<ca>\na\n", 1, "'</ca>' is missing"),
        ("a\n</ca>\n<//ca>", 2, "not open"),
        ("<>\n", 1, "missing"),
        ("<ca>\na\n</ca> up a\n", 3, "text after"),
        ("<ca>\n" + "a" * 255 + "</ca>\nup a\n</ca>", 2, "inside a line"),
        ("<ca>\n" + "a" * 255 + " " * 100 + "</ca>\nup a\n</ca>", 2, "inside a line"),
        ("<ca>\n</ca>" + " " * 300 + "\n", 2, "text after"),
        ("\n" * 200_001, 200_001, "lines"),
        ("a\n" * 10_001, 10_001, "options"),
    ],
)
def test_refuses_what_the_engine_would_misread(text: str, line: int, words: str) -> None:
    with pytest.raises(ProfileTextError, match=words) as raised:
        tokenize(text)
    assert raised.value.line == line


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("setenv FRIENDLY_NAME 'Bob", ("setenv", "FRIENDLY_NAME")),
        ("setenv FRIENDLY_NAME B\ufffdro", ("setenv", "FRIENDLY_NAME")),
        ("setenv opt up 'x", ("up",)),
        ("setenv opt FRIENDLY-NAME 'x", ("FRIENDLY-NAME",)),
        ("--up C:\\x", ("up",)),
        (" route-up it's \"a", ("route-up",)),
        ("foo " + "a " * 16, ("foo", "a")),
        ("foo " + "a" * MAX_LINE, ("foo", "a" * MAX_LINE)),
        ("foo \x07", ("foo",)),
    ],
)
def test_of_what_is_dropped_anyway_the_form_does_not_matter(line: str, read: tuple[str, ...]) -> None:
    options = tokenize(f"{line}\nclient")
    assert [(option.name, *option.params) for option in options] == [read[:2], ("client",)]


@pytest.mark.parametrize(
    "line", ["setenv UV_A 'x", "setenv 'UV_A' 'x", "remote 'x", "setenv opt remote 'x", "'up' \"x", "verb 'x", "<up 'x"]
)
def test_of_what_counts_it_does(line: str) -> None:
    with pytest.raises(ProfileTextError, match="closing quote"):
        tokenize(line)


def test_blocks_and_lines() -> None:
    text = 'a\n<ca>\r\n one\r\n\n<key>\ntwo\n  </ca> # end\n"<key>"\n</key>\n--<x>\n</x>\nsetenv opt b c\n'
    assert tokenize(text) == [
        Option("a", line=1),
        Option("ca", block=" one\n\n<key>\ntwo\n", line=2),
        Option("key", block="", line=8),
        Option("x", block="", line=10),
        Option("b", ("c",), line=12, optional=True),
    ]


def test_long_lines_in_blocks_are_certificates_comments() -> None:
    block = "x" * 1000 + "\n"
    assert tokenize(f"<ca>\n{block}</ca>")[0].block == block
    with pytest.raises(ProfileTextError):
        tokenize(f"<tls-auth>\n{block}</tls-auth>", first_line=2, nested=True)


def test_bytes_that_are_not_utf8_count_only_in_parameters() -> None:
    assert tokenize(decode(b"# \xff\n<ca>\n\xff\n</ca>"))[0].block == "\ufffd\n"
    with pytest.raises(ProfileTextError, match="UTF-8"):
        tokenize(decode(b"ca \xff"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("client\ndev tun\nremote a\n<ca>\nx\n</ca>", None),
        ("tls-client\ndev tun\n<connection>\nremote a\n</connection>\npeer-fingerprint 00", None),
        ("client\nsetenv opt dev tun\nremote a\nca x", None),
        ("", "missing required options: --ca, --client or --tls-client, --dev, --remote"),
        ("dev tun\nclient", "missing required options: --ca, --remote"),
        ("setenv GENERIC_CONFIG 1", "Server locked profiles are unsupported"),
    ],
)
def test_problem(text: str, said: str | None) -> None:
    found = problem(text, tokenize(text))
    assert found is None if said is None else found is not None and found.endswith(said)


# Parameters as the engine could carry them, with all that needs quoting.
PARAMETERS = st.lists(
    st.text(st.sampled_from("ab#;<>-'\"\\ \t/é\u00a0\u2028\U0001f600=%"), max_size=8)
    | st.text(st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="\ufffd"), max_size=8),
    max_size=15,
)
BLOCKS = st.lists(
    st.text(st.sampled_from("ab <>/\t"), max_size=600) | st.sampled_from(["</cx>", "<ca>", "# a", " </c", "'"]),
    max_size=5,
).map(lambda lines: "".join(line + "\n" for line in lines))


@given(PARAMETERS)
def test_what_is_written_is_read_again(params: list[str]) -> None:
    option = Option("route", tuple(params), line=1)
    try:
        written = render(option)
    except ProfileTextError:
        return
    assert tokenize(written) == [option]


@given(BLOCKS)
def test_a_block_that_was_read_is_read_again(block: str) -> None:
    try:
        options = tokenize(f"<ca>\n{block}</ca>\n")
    except ProfileTextError:
        return
    assert tokenize("".join(map(render, options))) == options


@pytest.mark.parametrize("name", ["", "--up", "a b", "<ca>", "up\n", "Up"])
def test_only_option_names_are_written(name: str) -> None:
    with pytest.raises(ValueError, match="option name"):
        render(Option(name))


@given(st.text() | st.text(st.sampled_from("<>/ca\n \"'\\#\r-")))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        options = tokenize(text)
    except ProfileTextError:
        return
    for option in options:
        assert len(option.params) < 16


def engine_reads(config: bytes) -> str:
    """What the engine says about a configuration; it stops at "end-of-profile", which it does not know."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "profile")
        path.write_bytes(config + b"\nend-of-profile\n")
        done = subprocess.run(["openvpn", "--config", str(path)], capture_output=True, timeout=10, check=False)
    return done.stdout.decode()


@settings(max_examples=150, deadline=None)
@given(PARAMETERS.filter(lambda params: len(params) <= 13))
def test_the_engine_reads_what_was_written(params: list[str]) -> None:
    """`echo msg …` is repeated by the engine in its log, as it read it."""
    try:
        written = render(Option("echo", ("msg", *params))) + render(Option("setenv", ("UV_X", "".join(params))))
    except ProfileTextError:
        return
    said = engine_reads(written.encode())
    assert f"ECHO:{' '.join(['msg', *params])}\n" in said
    assert "end-of-profile" in said


LINES = st.text(st.sampled_from("ab#;-'\"\\ \t\r\v"), max_size=20)


@settings(max_examples=300, deadline=None)
@given(LINES)
def test_the_engine_reads_a_line_as_the_tokenizer_does(line: str) -> None:
    """Where the tokenizer reads a line, the engine reads the same; where the engine refuses, so does it."""
    line = f"echo msg {line}"
    said = engine_reads(line.encode())
    try:
        words = words_of(line, 1)
    except ProfileTextError:
        return
    echoed = re.search(r"ECHO:(.*)", said)
    assert echoed and echoed[1] == " ".join(words[1:])
    assert "end-of-profile" in said


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE])
def test_the_engine_takes_the_longest_line(length: int) -> None:
    line = ("verify-x509-name " + "a" * 300)[:length]
    assert tokenize(line)
    assert "end-of-profile" in engine_reads(line.encode())
    assert "end-of-profile" not in engine_reads((line + "a" * (MAX_LINE + 1 - length)).encode())
