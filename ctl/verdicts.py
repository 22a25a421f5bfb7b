"""What a session would make of a profile, as text and in the form of --json."""

from typing import TYPE_CHECKING, Any

import click

from .exits import sanitize

if TYPE_CHECKING:
    from ..worker.profile.verdict import Ignored, Remark, Verdict

asks_credentials = click.option(
    "--ask-credentials", is_flag=True, help="Leave out user names and passwords, in the profile and in files it names."
)


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
    lines = [f"{name} {'cannot' if verdict.refused else 'can'} be used{':' if verdict.refused else '.'}"]
    lines += map(_remark, verdict.refused)
    lines += _section("Left out, or changed:", [*map(_ignored, verdict.ignored)])
    lines += _section("Warnings:", [*map(_remark, verdict.warnings)])
    if not verdict.refused:
        lines += _section("Asked for at the start:", [f"  {one}" for one in verdict.asks])
    return "\n".join(map(sanitize, lines))


def remarks_text(verdict: "Verdict") -> str:
    """What there is to say of a profile that can be used; empty if there is nothing."""
    lines = _section("Left out, or changed:", [*map(_ignored, verdict.ignored)])
    lines += _section("Warnings:", [*map(_remark, verdict.warnings)])
    return "\n".join(map(sanitize, lines))


def reasons_text(remarks: tuple["Remark", ...]) -> str:
    """Remarks in one line."""
    return "; ".join(_remark(one).strip() for one in remarks)


def _section(title: str, lines: list[str]) -> list[str]:
    return [title, *lines] if lines else []


def _remark(remark: "Remark") -> str:
    place = f"line {remark.line}: " if remark.line else ""
    return f"  {place}{remark.option}{': ' if remark.option else ''}{remark.reason}"


def _ignored(ignored: "Ignored") -> str:
    shown = ", ".join(map(str, ignored.lines[:3])) + (", …" if len(ignored.lines) > 3 else "")
    return f"  line{'s' if len(ignored.lines) > 1 else ''} {shown}: {ignored.option}: {ignored.reason}"
