"""How a profile looks whose files were embedded: its lines keep their numbers.

Where an option named a file there is a comment, and the block with the content of the file is at the end.  So what is
said about the stored profile names the lines of the user's file.
"""

import re
from collections.abc import Iterable

from msgspec.structs import replace

from .syntax import Option

_MARK = "# embedded below: "
_MARKED = re.compile(rf"^[^#;\n]*{_MARK}(?!connection\b)([a-z0-9-]+)", re.MULTILINE)


def mark(name: str, file: str) -> str:
    """The comment that tells of a block `name` further below, with the content of `file`."""
    return f"{_MARK}{name} {file}"


def where_named(text: str, options: Iterable[Option]) -> list[Option]:
    """The `options` of a profile `text`, embedded ones with the line in which their file was named."""
    if _MARK not in text:
        return [*options]
    named: dict[str, int] = {}
    at, line = 0, 1
    for found in _MARKED.finditer(text):
        line += text.count("\n", at, found.start())
        at = found.start()
        named[found[1]] = line
    return [
        replace(one, line=named[one.name]) if one.block is not None and 0 < named.get(one.name, 0) < one.line else one
        for one in options
    ]
