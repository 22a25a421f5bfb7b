"""openvpn3-service-sessionmgr, as it is started: the program itself is program.py."""

import gc

from .start.allocator import overwrites_freed, start_anew
from .start.import_blocks import block_imports


def main() -> None:
    """Run the service, in a process that overwrites what it frees."""
    if not overwrites_freed():
        start_anew()
    gc.disable()  # it would look through ever more modules while they are imported, for nothing
    block_imports()
    from .program import run  # not before: the program that is started anew would have read all of it for nothing

    run()


if __name__ == "__main__":
    main()
