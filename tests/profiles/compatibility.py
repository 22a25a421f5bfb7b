"""Write docs/COMPATIBILITY.md: each sample profile, and what becomes of it here and elsewhere.

    python -m openvpn3_sessionmgr.tests.profiles.compatibility [LABEL…]

Runs in the lab (`make compatibility`).  With labels, as commercial/fingerprint, only the rows of these samples are made
anew.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..lab.incumbent_tree import V27
from ..lab.lab import Lab
from ..lab.pki import Pki
from ..lab.surroundings import PROJECT
from .corpus import FAMILIES, Sample, samples
from .others import Original, by_plain_openvpn
from .papers import Papers

DOCUMENT = PROJECT / "docs" / "COMPATIBILITY.md"
_LONGEST = 110  # characters of a reason

_OUTCOMES = {
    "accepted": ("accepted", "starts", "connects"),
    "… of these, connected": ("connects",),
    "refused, or fails": ("refused", "import fails", "fails", "no session"),
}

_HEAD = """\
# Compatibility

Sample profiles in the styles of those that people have, and what becomes of each: with this project, with the option
parser of plain openvpn {plain}, and with OpenVPN 3 Linux {original}. All samples are of our own making
([tests/profiles](../tests/profiles)), with addresses and names that are reserved for documentation; certificates and
keys are made in each run. `make compatibility`, as root, runs them all and writes this file.

- **Here**: *connects* is a real tunnel through the running service, to a real server that does what the profile needs,
  and data through it; *fails, and says why* is where the server must not be let in, or does not let in; *starts* is a
  session that waits to be connected, without a server to try it on. What sessions leave out of the profile, with a
  warning, is named. *Refused* is what `ovpnctl config-import`, `ovpnctl check` and starting a session say. `make quick`
  and `make test` hold this column.
- **openvpn**: whether its parser accepts the profile, with the files beside it; nothing is connected.
- **OpenVPN 3 Linux**: imported by `openvpn3 config-import`, started, connected as here. *starts*: it sent something to
  a server; *no session*: the process behind it ended before it could be asked anything.
"""


class Row(NamedTuple):
    """What becomes of a sample."""

    sample: Sample
    here: str
    plain: str
    original: str


def here(sample: Sample, reason: str = "") -> str:
    """What is to become of a sample here; the tests see to it that it does."""
    if sample.refused:
        return f"refused: {reason}" if reason else "refused"
    end = "connects" if sample.server else "starts"
    if sample.fails:
        end = "fails, and says why"
    left_out = ", ".join(f"`{what}`" for what in sample.ignored)
    return f"{end}; without {left_out}" if left_out else end


def _reason(sample: Sample, papers: Papers, directory: Path) -> str:
    directory.mkdir()
    refused = sample.read(directory, papers).verdict().refused
    return "; ".join(f"{one.option}: {one.reason}" if one.option else one.reason for one in refused)


def _here_and_plain(chosen: Sequence[Sample], pki: Pki) -> list[tuple[str, str]]:
    papers = Papers(pki)
    said = []
    with tempfile.TemporaryDirectory() as place, Lab(pki) as lab:
        for number, sample in enumerate(chosen):
            reason = _reason(sample, papers, Path(place, f"here-{number}"))
            plain = by_plain_openvpn(lab, sample, papers, Path(place, f"plain-{number}"))
            said.append((here(sample, reason), plain))
    return said


def cell(text: str) -> str:
    """`text` as a cell of a table, cut if it is long; a cell stays as it is."""
    line = re.sub(r"\\([|<])", r"\1", " ".join(text.split()))
    line = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    return re.sub(r"([|<])", r"\\\1", line)


def _count(what: str, words: tuple[str, ...], rows: list[Row]) -> str:
    columns = ([row.here for row in rows], [row.plain for row in rows], [row.original for row in rows])
    numbers = (str(sum(said.startswith(words) for said in column)) for column in columns)
    return f"| {what} | {' | '.join(numbers)} |"


def document(rows: list[Row], plain: str, original: str) -> str:
    """The whole text."""
    counts = [_count(what, words, rows) for what, words in _OUTCOMES.items()]
    parts = [_HEAD.format(plain=plain, original=original)]
    parts.append(
        "\n".join([f"| {len(rows)} profiles | here | openvpn | OpenVPN 3 Linux |", "|---|---|---|---|", *counts])
    )
    for family, title in FAMILIES.items():
        table = [
            f"## {title}\n",
            "| profile | what it is | here | openvpn | OpenVPN 3 Linux |",
            "|---|---|---|---|---|",
        ]
        for row in rows:
            if row.sample.family == family:
                cells = (row.sample.name, *map(cell, (row.sample.what, row.here, row.plain, row.original)))
                table.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(table))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _measured(chosen: Sequence[Sample]) -> tuple[str, list[Row]]:
    """Run these samples everywhere: the version of the original, and the rows."""
    pki = Pki()
    said = _here_and_plain(chosen, pki)
    rows = []
    with Original(V27, pki) as original:
        for sample, (ours, plain) in zip(chosen, said, strict=True):
            rows.append(Row(sample, ours, plain, original.verdict(sample)))
            print(sample.label, *rows[-1][1:], sep=" | ", flush=True)
        return original.version, rows


def rows_of(text: str) -> dict[str, list[str]]:
    """The cells behind the name in the rows of a document, by the samples' labels."""
    titles = {title: family for family, title in FAMILIES.items()}
    found = {}
    for part in text.split("\n## ")[1:]:
        title, _, *lines = part.strip().split("\n")
        for line in lines[2:]:
            name, *cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
            found[f"{titles[title]}/{name}"] = cells
    return found


def main() -> int:
    """Run the command; the exit status."""
    if not V27.tree.exists():
        print(f"{V27.tree} is missing; `make incumbent-trees` makes it", file=sys.stderr)
        return 1
    wanted = sys.argv[1:] or [sample.label for sample in samples()]
    version, measured = _measured([sample for sample in samples() if sample.label in wanted])
    before = rows_of(DOCUMENT.read_text()) if DOCUMENT.exists() else {}
    new = {row.sample.label: row for row in measured}
    rows = [
        new[sample.label] if sample.label in new else Row(sample, *before[sample.label][1:])
        for sample in samples()
        if sample.label in new or sample.label in before
    ]
    done = subprocess.run(["openvpn", "--version"], capture_output=True, text=True, check=False)
    DOCUMENT.write_text(document(rows, done.stdout.split()[1], version))
    return 0


if __name__ == "__main__":
    sys.exit(main())
