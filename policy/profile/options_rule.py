"""The rows of the table of profile options."""

from enum import Enum
from typing import NamedTuple


class Treatment(Enum):
    """How an option is treated."""

    ALLOWED = "handed to the engine"
    TAKEN_OVER = "done by other means, so neither handed on nor warned about"
    IGNORED = "dropped with a warning"
    REFUSED = "the profile is refused"


class Embed(Enum):
    """Whether an option's value may, or must, stand in a <name>…</name> block."""

    NEVER = "parameters only"
    MAY = "parameters or a block"
    MUST = "a block; a parameter would name a file"


class Rule(NamedTuple):
    """One option: its treatment and why; for an allowed one also the form that the engine accepts."""

    treatment: Treatment
    reason: str
    least: int = 0  # parameters
    most: int = 15
    embed: Embed = Embed.NEVER
    in_connection: bool = False  # may stand in a <connection> block


def allowed(least: int, most: int, reason: str, embed: Embed = Embed.NEVER) -> Rule:
    """An option for the whole profile, with `least` to `most` parameters."""
    return Rule(Treatment.ALLOWED, reason, least, most, embed)


def per_connection(least: int, most: int, reason: str, embed: Embed = Embed.NEVER) -> Rule:
    """An option that may also stand in a <connection> block."""
    return Rule(Treatment.ALLOWED, reason, least, most, embed, in_connection=True)


def taken_over(least: int, most: int, reason: str, embed: Embed = Embed.NEVER, in_connection: bool = False) -> Rule:
    """An option that worker/profile/compiler.py reads itself, or whose effect is always there."""
    return Rule(Treatment.TAKEN_OVER, reason, least, most, embed, in_connection)


def ignored(reason: str) -> Rule:
    """An option without which the tunnel works as well."""
    return Rule(Treatment.IGNORED, reason)


def refused(reason: str) -> Rule:
    """An option that cannot be dropped without changing what the profile's author meant."""
    return Rule(Treatment.REFUSED, reason)
