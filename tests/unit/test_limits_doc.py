"""The table of limits in docs/SECURITY.md: every limit is in it, with what happens beyond."""

from pathlib import Path
from typing import Any

import pytest

from ...packaging.limits_doc import Undocumented, limits_table, security_document
from ...policy import limits

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/SECURITY.md"


def test_every_limit_is_in_the_document() -> None:
    text = security_document(DOCUMENT)
    for name in vars(limits):
        if name.isupper():
            assert text.count(f"| `{name}` |") == 1, name


def test_a_limit_is_shown_with_its_unit() -> None:
    source = """
# Sizes

SIZE = 3 * 1024  # a thing; beyond: it is cut
# what is so long that it
# takes two lines; beyond: refused
COUNT = 5

# Times

WAIT = 2.0  # a moment; beyond: over
"""
    values: dict[str, Any] = {"SIZE": 3072, "COUNT": 5, "WAIT": 2.0}
    assert list(limits_table(source, values)) == [
        "",
        "Sizes.",
        "",
        "| limit | of | beyond | name |",
        "|---|---|---|---|",
        "| 3 KiB | a thing | it is cut | `SIZE` |",
        "| 5 | what is so long that it takes two lines | refused | `COUNT` |",
        "",
        "Times.",
        "",
        "| limit | of | beyond | name |",
        "|---|---|---|---|",
        "| 2 s | a moment | over | `WAIT` |",
    ]


@pytest.mark.parametrize("line", ["SIZE = 3", "SIZE = 3  # a thing", "SIZE = 3  # a thing; beyond: "])
def test_a_limit_that_says_too_little_is_named(line: str) -> None:
    with pytest.raises(Undocumented, match="SIZE"):
        list(limits_table(line, {"SIZE": 3}))


def test_a_document_without_a_place_for_it_is_named(tmp_path: Path) -> None:
    document = tmp_path / "OTHER.md"
    document.write_text("no table here")
    with pytest.raises(Undocumented, match=r"OTHER\.md"):
        security_document(document)
