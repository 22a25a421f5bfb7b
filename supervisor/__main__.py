"""The entry point of openvpn3-service-sessionmgr; program.py is the program itself."""

import gc

from ..policy.import_blocks import block_imports, postpone_imports
from .start.allocator import overwrites_freed, start_anew


def main() -> None:
    """Run the service, in a process that overwrites what it frees."""
    if not overwrites_freed():
        start_anew()
    gc.disable()  # while modules are imported, it would find nothing to collect
    block_imports()
    postpone_imports()
    from .program import run  # only now: a program that is about to be executed again does not need it

    run()


if __name__ == "__main__":
    main()
