"""All helpers, as the supervisor starts them: `python -I -m openvpn3_sessionmgr.worker.helpers`."""

import gc

from ...policy.import_blocks import block_imports


def main() -> None:
    """Run all helpers (spawner.py)."""
    gc.disable()  # as in the supervisor; spawner.py enables it when all is imported
    block_imports()
    from .spawner import main as run

    run()


if __name__ == "__main__":
    main()
