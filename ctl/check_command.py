"""check: what a session would make of a profile, without importing it."""

import sys
from typing import TYPE_CHECKING, Any

import click

from .arguments import file
from .exits import CommandExit, sanitize
from .profile_file import read_profile
from .run import print_json, put

if TYPE_CHECKING:
    from ..worker.profile.verdict import Remark, Verdict


@click.command("check", short_help="Say what a session would make of a profile, without importing it.")
@click.argument("source", type=file, metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
def check(source: str, as_json: bool) -> None:
    """Say what a session would make of a profile, without importing it; - for standard input.

    Neither the service nor the bus is asked.  Which PKCS#11 providers there are, and whether certificates and keys are
    good, is seen only when a session starts.  The exit status is 3 if none could be started.

    \b
    --json prints
      usable (whether a session can be started),
      refused [{option, line, reason}] (why not),
      ignored [{option, lines [], reason}] (what sessions leave out or change),
      warnings [{option, line, reason}],
      asks [] (what has to be typed at the start).
    option and line are null where something is about the whole profile.
    """
    from ..worker.profile.verdict import verdict

    found = verdict(read_profile(source))
    if as_json:
        print_json(verdict_json(found))
    else:
        put(verdict_text(source, found))
    if found.refused:
        sys.exit(CommandExit.REFUSED)


def verdict_json(verdict: "Verdict") -> dict[str, Any]:
    """A verdict in the form of --json."""
    return {
        "usable": not verdict.refused,
        "refused": [_remark_json(one) for one in verdict.refused],
        "ignored": [{"option": one.option, "lines": [*one.lines], "reason": one.reason} for one in verdict.ignored],
        "warnings": [_remark_json(one) for one in verdict.warnings],
        "asks": [*verdict.asks],
    }


def _remark_json(remark: "Remark") -> dict[str, Any]:
    return {"option": remark.option or None, "line": remark.line or None, "reason": remark.reason}


def verdict_text(name: str, verdict: "Verdict") -> str:
    """A verdict as it is printed; `name` is what the profile is called."""
    lines = [f"{name} {'cannot' if verdict.refused else 'can'} be used."]
    lines += map(_remark_text, verdict.refused)
    if verdict.ignored:
        lines.append("What sessions leave out or change:")
        lines += (f"  {_place(one.lines)}{one.option}: {one.reason}" for one in verdict.ignored)
    if verdict.warnings:
        lines.append("Warnings:")
        lines += map(_remark_text, verdict.warnings)
    if verdict.asks:
        lines.append(f"Asked for at the start: {', '.join(verdict.asks)}")
    return "\n".join(map(sanitize, lines))


def _remark_text(remark: "Remark") -> str:
    place = _place((remark.line,)) if remark.line else ""
    return f"  {place}{remark.option}{': ' if remark.option else ''}{remark.reason}"


def _place(lines: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, lines[:3])) + (", …" if len(lines) > 3 else "")
    return f"line {shown}: " if len(lines) == 1 else f"lines {shown}: "
