"""What a run skipped: a line each in the file that OPENVPN3_SESSIONMGR_SKIPPED names, for all parts of the run."""

import os
from collections.abc import Iterable
from pathlib import Path

VARIABLE = "OPENVPN3_SESSIONMGR_SKIPPED"
CANNOT_RUN = "cannot run here: "  # how the only good reason begins


def note(lines: Iterable[str]) -> None:
    """Count skipped items, `WHAT: REASON`; nothing where no file is named."""
    if name := os.environ.get(VARIABLE):
        with Path(name).open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
