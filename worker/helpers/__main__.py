"""All helpers, as the supervisor starts them: `python -I -m openvpn3_sessionmgr.worker.helpers`."""

import gc
import select

from ...ipc.inherited import SETUP_FD
from ...policy.import_blocks import block_imports


def main() -> None:
    """Run all helpers (spawner.py)."""
    gc.disable()  # as in the supervisor; spawner.py enables it when all is imported
    block_imports()
    # While the supervisor starts as well, others have the processors: it waits for a trial of the sandbox.
    select.select([SETUP_FD], [], [])
    from .spawner import main as run

    run()


if __name__ == "__main__":
    main()
