"""docs/SECURITY.md says of the hostile acts what their table does, and each layer is seen to work."""

from pathlib import Path

from ...policy.sandbox.layers import ALL
from ..hostile.acts import ACTS, Act, row, stopped_in_engine

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/SECURITY.md"
HEAD = "| act | stopped by |"


def test_the_document_has_the_table() -> None:
    lines = DOCUMENT.read_text().splitlines()
    begin = lines.index(HEAD) + 2
    end = lines.index("", begin)
    assert lines[begin:end] == [row(act) for act in ACTS]


def test_each_layer_alone_stops_something() -> None:
    assert {layer for act in ACTS for enough in act.stopped_by if len(enough) == 1 for layer in enough} == ALL


def test_all_layers_stop_all_acts() -> None:
    def comes_off(act: Act) -> bool:
        return not stopped_in_engine(act, ALL)

    assert [act.name for act in ACTS if comes_off(act)] == []
