"""User names and passwords in profiles: the options that name a file of them, and the blocks that hold them."""

from collections.abc import Collection, Iterable

from ..pieces import Pieces
from .syntax import Option, tokenizing

INLINE = ("[inline]", "[INLINE]")
# The blocks of a user name and, on the next line, a password; and what has them asked for instead.
ASKED = {"auth-user-pass": "auth-user-pass", "http-proxy-user-pass": "http-proxy-user-pass stdin"}

# Which parameter names the file, and what else may stand there.
_FILES = {
    "auth-user-pass": (0, {"stdin", "username-only", *INLINE}),
    "http-proxy-user-pass": (0, {"stdin", *INLINE}),
    "http-proxy": (2, {"", "stdin", "none", "auto", "auto-nct", *INLINE}),
    "socks-proxy": (2, {"stdin"}),
}
_TOKEN = "auth-token"  # what takes the place of a password, on its line
_HIDDEN = "\n# not shown"
_LINES = 256  # of the text, in a piece of work


def credentials_file(option: Option) -> str | None:
    """The file from which `option` would have a secret read that a user could type as well; None if there is none."""
    place, others = _FILES.get(option.name, (0, set[str]()))
    named = option.params[place : place + 1] if option.name in _FILES else ()
    return named[0] if named and option.block is None and named[0] not in others else None


def blocks_of_credentials(options: Iterable[Option], names: Collection[str] = ASKED.keys()) -> list[Option]:
    """The blocks of these names among the options of a profile that hold a user name and a password."""
    return [option for option in options if option.name in names and option.block is not None]


def without_credentials(text: str, names: Collection[str] = ASKED.keys()) -> Pieces[str]:
    """The profile `text` without the user names and passwords in the blocks `names`: a session asks for them instead.

    Those in <connection> blocks go as well, and tokens.

    All else stays, in its line.  Raises ProfileTextError.
    """
    secrets = yield from _secrets((yield from tokenizing(text)), names)
    parts: list[str] = []
    start, number, done = 0, 1, 0  # of a line, its number, and of the text that is in the parts
    for option in secrets:
        while number < option.line:
            start = text.index("\n", start) + 1
            number += 1
            if not number % _LINES:
                yield
        parts += (text[done:start], f"# {_TOKEN} is not shown" if option.name == _TOKEN else ASKED[option.name])
        lines = 0 if option.block is None else option.block.count("\n") + 1
        for _ in range(lines):
            start = text.index("\n", start) + 1
            parts.append(_HIDDEN)
            if not len(parts) % _LINES:
                yield
        number += lines
        done = text.find("\n", start)
        done = done if done >= 0 else len(text)
    return "".join([*parts, text[done:]])


def _secrets(options: list[Option], names: Collection[str]) -> Pieces[list[Option]]:
    """The options that hold secrets which a user could type, in the order of their lines.  Raises ProfileTextError."""
    found: list[Option] = []
    for option in options:
        if option.name == "connection" and option.block is not None:
            inner = yield from tokenizing(option.block, option.line + 1, nested=True)
            found += yield from _secrets(inner, names)
        elif option.name == _TOKEN or (option.name in names and option.block is not None):
            found.append(option)
    return found
