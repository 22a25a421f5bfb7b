"""Figures and their presentation."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.table import Table


@dataclass(frozen=True)
class Wanted:
    """A bound for the median: of the figure itself, or of its ratio to the yardstick's median."""

    bound: float
    of_ratio: bool = False
    at_least: bool = False

    def __str__(self) -> str:
        bound = _ratio(self.bound) if self.of_ratio and self.bound < 1 else f"{self.bound:g}"
        return f"{'≥' if self.at_least else '≤'} {bound}{' ×' if self.of_ratio else ''}"


@dataclass(frozen=True)
class Figure:
    """Samples of one quantity, beside those of its yardstick."""

    name: str
    unit: str
    samples: Sequence[float]
    yardstick: str = ""
    yardstick_samples: Sequence[float] = field(default=())
    wanted: Wanted | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def ratio(self) -> float | None:
        """How many times the yardstick's median; None without one."""
        return self.median / statistics.median(self.yardstick_samples) if self.yardstick_samples else None

    @property
    def met(self) -> bool | None:
        """Whether the median is what is wanted; None if nothing is."""
        if self.wanted is None:
            return None
        value = self.ratio if self.wanted.of_ratio else self.median
        assert value is not None, f"{self.name} has no yardstick"
        return value >= self.wanted.bound if self.wanted.at_least else value <= self.wanted.bound

    def as_json(self) -> dict[str, Any]:
        """Everything, for a machine."""
        return {
            "name": self.name,
            "unit": self.unit,
            **_summary(self.samples),
            "yardstick": {"name": self.yardstick, **_summary(self.yardstick_samples)} if self.yardstick else None,
            "ratio": self.ratio,
            "wanted": str(self.wanted) if self.wanted else None,
            "met": self.met,
        }


def _summary(samples: Sequence[float]) -> dict[str, Any]:
    return {
        "median": statistics.median(samples),
        "min": min(samples),
        "max": max(samples),
        "count": len(samples),
        "samples": list(samples),
    }


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value < 1 else f"{value:.1f}"


def _ratio(value: float) -> str:
    times = 1 / value
    return f"1/{times:.3g}" if times < 999.5 else f"1/{times:.0f}"


def _spread(samples: Sequence[float]) -> str:
    middle = _shown(statistics.median(samples))
    return f"{middle} ({_shown(min(samples))} – {_shown(max(samples))})" if len(samples) > 1 else middle


_SMALL = 0.095  # a ratio below is shown as a fraction
_VERDICTS = {True: "met", False: "MISSED"}


def table(figures: Sequence[Figure], title: str) -> Table:
    """The figures, a row each."""
    made = Table(title=title, box=box.ASCII2, title_justify="left")
    made.add_column("figure: median (min – max)", no_wrap=True)
    made.add_column("", justify="right", no_wrap=True)
    made.add_column("yardstick", no_wrap=True)
    for heading in ("", "ratio", "wanted"):
        made.add_column(heading, justify="right", no_wrap=True)
    for one in figures:
        made.add_row(
            one.name,
            f"{_spread(one.samples)} {one.unit}",
            one.yardstick,
            f"{_spread(one.yardstick_samples)} {one.unit}" if one.yardstick_samples else "",
            "" if one.ratio is None else _ratio(one.ratio) if one.ratio < _SMALL else f"{one.ratio:.2f}",
            "" if one.met is None else f"{one.wanted}: {_VERDICTS[one.met]}",
        )
    return made
