"""Programs that take the engine's place."""

import subprocess
from pathlib import Path

_SILENT = "#include <poll.h>\nint main(void) { for (;;) poll(0, 0, -1); }\n"


def silent_engine(directory: Path) -> Path:
    """One that does nothing at all, whatever it is told: its worker waits for it; every user can execute it."""
    made = directory / "silent-engine"
    source = made.with_suffix(".c")
    source.write_text(_SILENT)
    subprocess.run(["gcc", "-static", "-o", str(made), str(source)], check=True)
    made.chmod(0o755)
    return made
