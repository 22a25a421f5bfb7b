"""The syntax of a profile, read and written exactly as OpenVPN's own option reader does.

A profile is hostile input.  Text that OpenVPN reads differently from how it looks (a line that is too long, a
seventeenth parameter, a closing tag in the middle of a line) is an error here, unless it belongs to an option that is
dropped anyway.  Rules from openvpn(8) and from the option reader of OpenVPN 2.6 and 2.7; all takes time linear in the
text.
"""

import re

import msgspec

from ..pieces import Pieces, whole
from .options import of_no_account

MAX_LINE = 254  # bytes; the engine reads 256 with the newline and the final NUL, and refuses a full buffer
MAX_WORDS = 16  # option name and parameters; the engine drops what follows
MAX_LINES = 200_000  # of a profile; 4 MiB of base64 are 65,000
MAX_OPTIONS = 10_000  # of a profile

_CHUNK = 255  # bytes the engine reads at once inside a block; each such piece may be taken for the closing tag
_SPACE = " \t\v\f\r"
_BYTES_OF_SPACE = _SPACE.encode()

# Of the text, in a piece of work.
_PIECE = 2048  # characters
_PIECE_LINES = 64
_PIECE_SEARCHED = 64 * 1024  # characters, for one thing only
_PIECE_OPTIONS = 4

_SKIP = re.compile(rf"[{_SPACE}]*")
_BARE = re.compile(rf"""(?:[^{_SPACE}\\]|\\[\\"{_SPACE}])+""")
_DOUBLE = re.compile(rf"""(?:[^"\\]|\\[\\"{_SPACE}])*""")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff\ufffd]")
_NEEDS_LEXER = re.compile(r"""["'\\\x1c-\x1f]""")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+=,!*~^&()\[\]{}$|?-]+")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_WORD = rf"[A-Za-z0-9][A-Za-z0-9_-]*(?![^{_SPACE}])"
_NAME_AND_FIRST = re.compile(rf"(setenv[{_SPACE}]+opt[{_SPACE}]+)?(?:--)?({_WORD})(?:[{_SPACE}]+({_WORD}))?")


class ProfileTextError(Exception):
    """A profile that OpenVPN cannot read, or reads differently from how it looks; the text names the line."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


class Option(msgspec.Struct, frozen=True):
    """One option: `name parameters…`, or a `<name>` block with its content."""

    name: str  # without leading dashes
    params: tuple[str, ...] = ()
    block: str | None = None  # lines of the block, each ended by a newline
    line: int = 0  # where it stands, from 1
    optional: bool = False  # "setenv opt …": may be unknown to the engine


def decode(profile: bytes) -> str:
    """The text of `profile`, without a byte order mark; bytes that are not UTF-8 become U+FFFD.

    Such characters are common in comments and certificates, and harmless there; `tokenize` refuses them in
    parameters.
    """
    return profile.decode("utf-8", "replace")


def tokenize(text: str, first_line: int = 1, nested: bool = False) -> list[Option]:
    """The options of `text`, in order.

    `first_line` is the number of its first line; `nested` says that it is the content of a <connection>
    block, which the engine reads with tighter limits.  Raises ProfileTextError.
    """
    return whole(tokenizing(text, first_line, nested))


def tokenizing(text: str, first_line: int = 1, nested: bool = False) -> Pieces[list[Option]]:
    """The same in pieces."""
    if "\0" in text:
        at = text.count("\n", 0, text.index("\0")) + first_line
        raise ProfileTextError(at, "contains a NUL byte; is this a profile?")
    newlines = 0
    for at in range(0, len(text), _PIECE_SEARCHED):
        newlines += text.count("\n", at, at + _PIECE_SEARCHED)
        yield
    if newlines > MAX_LINES:
        raise ProfileTextError(first_line + MAX_LINES, f"more than {MAX_LINES} lines")
    if first_line == 1:
        text = text.removeprefix("\ufeff")
    options: list[Option] = []
    lines = _Lines(text, first_line)
    while taken := lines.take():
        number = lines.number - len(taken)
        for index, line in enumerate(taken):
            words = _words_that_count(line, number + index)
            if not words:
                continue
            if len(options) == MAX_OPTIONS:
                raise ProfileTextError(number + index, f"more than {MAX_OPTIONS} options")
            name = _without_dashes(words[0])
            if len(words) == 1 and len(name) > 1 and name[0] == "<" and name[-1] == ">":
                if name[1] == "/":
                    raise ProfileTextError(number + index, f"{name[:60]!a} closes a block that is not open")
                lines.put_back(taken[index + 1 :])
                block = yield from _block(lines, name[1:-1], number + index, nested)
                options.append(Option(name[1:-1], (), block, number + index))
                break
            if name == "setenv" and len(words) > 2 and words[1] == "opt":
                options.append(Option(words[2], tuple(words[3:]), None, number + index, optional=True))
            else:
                options.append(Option(name, tuple(words[1:]), None, number + index))
            if not len(options) % _PIECE_OPTIONS:
                yield
        yield
    return options


def render(option: Option) -> str:
    """The line or block that `tokenize`, and the engine, read as `option`; ends with a newline.

    Raises ValueError for a name that is not one of an option, and ProfileTextError if the option cannot be
    written within the engine's limits.
    """
    if not _NAME.fullmatch(option.name):
        raise ValueError(f"not an option name: {option.name!r}")
    if option.block is not None:
        return f"<{option.name}>\n{option.block}</{option.name}>\n"
    line = " ".join([option.name, *map(_quoted, option.params)])
    if len(option.params) >= MAX_WORDS or len(line.encode()) > MAX_LINE:
        raise ProfileTextError(option.line, f"{option.name} is too long for OpenVPN")
    return line + "\n"


def pushed_words(line: str) -> list[str]:
    """Name and parameters of one option that a server pushes; empty if the engine would not read it either."""
    try:
        return words_of(line, 0)
    except ProfileTextError:
        return []


class _Lines:
    """The lines of a text, a few at a time."""

    def __init__(self, text: str, first_line: int) -> None:
        self.number = first_line  # of the next line
        self._text = text
        self._at = 0  # where it begins; beyond the text after the last one

    def take(self) -> list[str]:
        """The next lines; empty after the last one."""
        lines = self._next_piece().split("\n", _PIECE_LINES)
        if self._at > len(self._text):
            return []
        del lines[_PIECE_LINES:]
        self._at += sum(map(len, lines)) + len(lines)
        self.number += len(lines)
        return lines

    def put_back(self, lines: list[str]) -> None:
        """Give the last of the lines that were taken once more."""
        self._at -= sum(map(len, lines)) + len(lines)
        self.number -= len(lines)

    def take_plain(self, without: str) -> str:
        """The next lines at once, each ended by a newline; empty if one of them has to be looked at.

        Plain is ASCII, without this text, and without a carriage return or a line that is too long for the engine.
        """
        piece = self._next_piece()
        if without in piece or "\r" in piece or not piece.isascii():
            return ""
        lines = piece.split("\n")
        if max(map(len, lines)) > MAX_LINE or self._at > len(self._text):
            return ""
        self._at += len(piece) + 1
        self.number += len(lines)
        return piece + "\n"

    def _next_piece(self) -> str:
        end = self._text.find("\n", self._at + _PIECE)
        return self._text[self._at : end if end >= 0 else None]


def _without_dashes(word: str) -> str:
    return word[2:] if len(word) > 2 and word.startswith("--") else word


def _words_that_count(line: str, number: int) -> list[str]:
    """As `words_of`; of an option that is dropped anyway, no more than name and first parameter need to be readable."""
    try:
        return words_of(line, number)
    except ProfileTextError:
        found = _NAME_AND_FIRST.match(line.lstrip(_SPACE))
        if found is None:
            raise
        optional, name, first = found.groups("")
        words = [name, first] if first else [name]
        if not of_no_account(*words):
            raise
        return [*optional.split(), *words]


def words_of(line: str, number: int) -> list[str]:
    """Option name and parameters of one line, as OpenVPN reads it; empty for a blank line or a comment.

    Raises ProfileTextError.
    """
    start = line.lstrip(_SPACE)
    if not start or start[0] in "#;":
        return []
    if len(line) > MAX_LINE // 4 and len(line.encode("utf-8", "replace")) > MAX_LINE:
        raise ProfileTextError(number, f"longer than the {MAX_LINE} bytes that OpenVPN reads")
    words = _split(line) if line.isascii() and not _NEEDS_LEXER.search(line) else _lex(line, number)
    if len(words) > MAX_WORDS:
        raise ProfileTextError(number, f"more than {MAX_WORDS - 1} parameters; put a text with spaces in quotes")
    if _CONTROL.search(line) and (odd := next(filter(None, map(_CONTROL.search, words)), None)):
        if odd[0] == "\ufffd":
            raise ProfileTextError(number, not_utf8(line))
        raise ProfileTextError(number, f"contains the control character U+{ord(odd[0]):04X}; remove it")
    return words


def not_utf8(line: str) -> str:
    """What is wrong with a line in which `decode` has put U+FFFD."""
    at = len(line[: line.index("\ufffd")].encode("utf-8", "replace")) + 1
    return f"byte {at} of it is not UTF-8; save the file as UTF-8 (iconv -f LATIN1 -t UTF-8 FILE)"


def _split(line: str) -> list[str]:
    """As `words_of`, for plain ASCII without quotes and backslashes: most lines."""
    words = line.split()
    if "#" in line or ";" in line:
        for index, word in enumerate(words):
            if word[0] in "#;":
                return words[:index]
    return words


def _lex(line: str, number: int) -> list[str]:
    """As `words_of`, for a line with quotes or backslashes.

    A backslash stands before a backslash, a double quote or a space, outside single quotes; a quote counts
    only at the start of a parameter, and a parameter ends with its closing quote.
    """
    words: list[str] = []
    at = 0
    while True:
        at = _SKIP.match(line, at).end()  # type: ignore[union-attr]  # matches the empty string
        first = line[at : at + 1]
        if not first or first in "#;":
            return words
        if first == "'":
            end = line.find("'", at + 1)
            word = line[at + 1 : end]
        elif first == '"':
            end = _DOUBLE.match(line, at + 1).end()  # type: ignore[union-attr]  # matches the empty string
            word = _unescaped(line[at + 1 : end])
            _check_backslash(line, end, number)
            end = end if end < len(line) else -1
        else:
            bare = _BARE.match(line, at)
            end = bare.end() if bare else at
            _check_backslash(line, end, number)
            if line[at : at + 2].strip(_SPACE) == "\\":
                raise ProfileTextError(number, "a parameter starts with an escaped space; put it in quotes")
            words.append(_unescaped(line[at:end]))
            at = end
            continue
        if end < 0:
            raise ProfileTextError(number, f"no closing quote ({first})")
        words.append(word)
        at = end + 1


def _unescaped(word: str) -> str:
    """`word` with each backslash taken away that stands before another character."""
    if "\\" not in word:
        return word
    return "\\".join(piece.replace("\\", "") for piece in word.split("\\\\"))


def _check_backslash(line: str, at: int, number: int) -> None:
    if line[at : at + 1] == "\\":
        raise ProfileTextError(number, 'a backslash may only stand before a backslash, " or space; double it')


def _block(lines: _Lines, name: str, opened: int, nested: bool) -> Pieces[str]:
    """Read from `lines` the content of block `name` and its closing tag."""
    tag = f"</{name}>"
    content: list[str] = []
    while True:
        if plain := lines.take_plain(tag):
            content.append(plain)
            yield
            continue
        taken = lines.take()
        if not taken:
            raise ProfileTextError(opened, f"{tag[:60]!a} is missing")
        number = lines.number - len(taken)
        for index, line in enumerate(taken):
            start = line.lstrip(_SPACE)
            if start.startswith(tag):
                rest = start[len(tag) :].lstrip(_SPACE)
                if (rest and rest[0] not in "#;") or len(line.encode("utf-8", "replace")) > MAX_LINE:
                    raise ProfileTextError(number + index, f"text after {tag[:60]!a}")
                lines.put_back(taken[index + 1 :])
                return "".join(content)
            if len(line) > MAX_LINE // 4:
                yield from _check_long(line, tag, number + index, nested)
            content.append(line.rstrip("\r") + "\n")
        yield


def _check_long(line: str, tag: str, number: int, nested: bool) -> Pieces[None]:
    """Refuse a line of a block of which the engine could take a later piece for the closing tag."""
    raw = line.encode("utf-8", "replace")
    if len(raw) <= MAX_LINE:
        return
    if nested:
        raise ProfileTextError(number, f"longer than the {MAX_LINE} bytes that OpenVPN reads")
    closing = tag.encode("utf-8", "replace")
    if closing not in raw:
        return
    for at in range(_CHUNK, len(raw), _CHUNK):
        if raw[at : at + _CHUNK].lstrip(_BYTES_OF_SPACE).startswith(closing):
            raise ProfileTextError(number, f"{tag[:60]!a} inside a line")
        if not at % (_PIECE_LINES * _CHUNK):
            yield


def _quoted(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    if "'" not in word:
        return f"'{word}'"
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
