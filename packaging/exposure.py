"""`make exposure`: compare what systemd-analyze misses in the unit with the reasons in docs/SYSTEMD.md.

Ends with status 1 if a setting that it marks has no reason there, a reason is for one that it does not mark, or the
exposure is more than the document says.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "policy" / "systemd" / "openvpn3-sessionmgr.service"
DOCUMENT = ROOT / "docs" / "SYSTEMD.md"


def main() -> int:
    """Compare, and print what does not agree; the exit status."""
    text = DOCUMENT.read_text().partition("\n## What systemd-analyze misses\n")[2]
    reasons = {name.replace("\\|", "|") for name in re.findall(r"(?m)^\| `(.+?)` \| .+ \|$", text)}
    [bound] = map(float, re.findall(r"(?m)^exposure: ([0-9.]+)$", text))
    marked = {row["name"] for row in json.loads(_analyze("--json=short")) if row["set"] is False}
    [exposure] = map(float, re.findall(r"Overall exposure level for \S+: ([0-9.]+)", _analyze()))
    problems = [f"{name}: no reason in {DOCUMENT.name}" for name in sorted(marked - reasons)]
    problems += [f"{name}: has a reason, and is not marked" for name in sorted(reasons - marked)]
    if exposure > bound:
        problems.append(f"the exposure is {exposure}, more than {bound}")
    print("\n".join(problems) or f"exposure {exposure}; {len(marked)} settings, each with its reason")
    return 1 if problems else 0


def _analyze(*options: str) -> str:
    """What systemd-analyze says of the unit.  Its status is not 0 if the exposure is more than it likes."""
    command = ["systemd-analyze", "--no-pager", "security", "--offline=yes", *options, str(UNIT)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


if __name__ == "__main__":
    sys.exit(main())
