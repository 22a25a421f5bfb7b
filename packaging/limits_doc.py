"""The table of limits in docs/SECURITY.md, from policy/limits.py: each with its value, and what happens beyond it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..policy import limits

_BEGIN, _END = "<!-- limits, from policy/limits.py -->", "<!-- end of limits -->"
_CONSTANT = re.compile(r"([A-Z][A-Z0-9_]*) = ([^#]+?)(?:  # (.*))?")
_BEYOND = "; beyond: "


class Undocumented(ValueError):
    """A limit does not say what it bounds and what happens beyond it, or the document has no place for the table."""


def security_document(document: Path) -> str:
    """docs/SECURITY.md as it stands, with the table as it should be.  Raises Undocumented."""
    before, begin, rest = document.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise Undocumented(f"{document} has no place for the table of limits")
    table = "\n".join(limits_table(Path(str(limits.__file__)).read_text(), vars(limits)))
    return f"{before}{begin}\n{table}\n\n{end}{after}"


def limits_table(source: str, values: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a table for each section of `source`, the text of policy/limits.py.  Raises Undocumented.

    A section begins with a comment between empty lines; what is said of a limit stands beside it or directly above.
    """
    above: list[str] = []
    in_table = False
    for line in source.splitlines():
        if line.startswith("# "):
            above.append(line.removeprefix("# "))
        elif constant := _CONSTANT.fullmatch(line):
            name, expression, beside = constant.groups()
            what, beyond, then = (beside or " ".join(above)).partition(_BEYOND)
            if not (what and beyond and then):
                raise Undocumented(f"{name} does not say what it bounds and what happens beyond it")
            if not in_table:
                yield from ("", "| limit | of | beyond | name |", "|---|---|---|---|")
            yield f"| {_shown(expression, values[name])} | {what} | {then} | `{name}` |"
            in_table = True
            above.clear()
        elif not line and above:
            yield from ("", " ".join(above).rstrip(".") + ".")
            in_table = False
            above.clear()


def _shown(expression: str, value: Any) -> str:
    if isinstance(value, range):
        return f"{value[0]}-{value[-1]}"
    if isinstance(value, float):
        return f"{value:g} s"
    if "**" in expression:
        return expression.replace("**", "^")
    if "* 1024" in expression or "MAX_PROFILE +" in expression:
        return f"{value // 2**20} MiB" if value % 2**20 == 0 else f"{value // 2**10} KiB"
    return str(value)
