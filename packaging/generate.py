"""Write the files that are generated from tables: docs/api.md, docs/*states.md, the limits in docs/SECURITY.md, D-Bus
policy and activation files, the configuration file that is installed.

    python -m openvpn3_sessionmgr.packaging.generate [--check]

With --check nothing is written; stale files are listed, and the exit status is 1 if there are any.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ..supervisor.bus.configuration_api import CONFIGURATION, PROFILE
from ..supervisor.bus.kill_switch_api import KILL_SWITCH
from ..supervisor.bus.log_api import LOG, PROXY
from ..supervisor.bus.manager_api import MANAGER
from ..supervisor.bus.namespace_api import NAMESPACE
from ..supervisor.bus.session_api import SESSION
from ..supervisor.bus.settings_api import PROFILE_SETTINGS
from ..supervisor.bus.stub_api import BACKENDS, DEVICE, NETCFG
from .api_doc import api_document
from .configuration_doc import sample_file
from .limits_doc import security_document
from .policy_files import activation_file, policy_file
from .states_doc import session_states, worker_phases

_ROOT = Path(__file__).resolve().parents[1]

# What is generated: path in the checkout, and what gives its content.
Generated = Sequence[tuple[str, Callable[[], str]]]
_SERVICES = (
    (MANAGER, SESSION, PROFILE_SETTINGS, KILL_SWITCH, NAMESPACE),
    (CONFIGURATION, PROFILE),
    (LOG, PROXY),
    (BACKENDS,),
    (NETCFG, DEVICE),
)
GENERATED: Generated = [
    ("docs/api.md", api_document),
    ("docs/states.md", session_states),
    ("docs/worker-states.md", worker_phases),
    ("docs/SECURITY.md", partial(security_document, _ROOT / "docs/SECURITY.md")),
    ("policy/configuration/config.toml", sample_file),
    *((f"policy/dbus/{one[0].name}.conf", partial(policy_file, one)) for one in _SERVICES),
    *((f"policy/dbus/{one[0].name}.service", partial(activation_file, one[0].name)) for one in _SERVICES),
]


def stale_files(root: Path, generated: Generated = GENERATED) -> list[tuple[Path, str]]:
    """The generated files whose content in the checkout at `root` is not what it should be, and that content."""
    stale = []
    for name, render in generated:
        path, content = root / name, render()
        if not path.exists() or path.read_text() != content:
            stale.append((path, content))
    return stale


def main(arguments: list[str] | None = None, root: Path = _ROOT, generated: Generated = GENERATED) -> int:
    """Run the command for the checkout at `root`; returns its exit status."""
    parser = argparse.ArgumentParser(prog="generate", description="Write the files made from the tables.")
    parser.add_argument("--check", action="store_true", help="only list the files that are stale")
    check = parser.parse_args(arguments).check
    stale = stale_files(root, generated)
    for path, content in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(root)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
