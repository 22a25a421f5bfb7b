"""A Debian machine without the project, on which its packages are installed as an administrator does.

`python -m openvpn3_sessionmgr.tests.lab.packages` runs these tests in a throw-away tree; they change its files.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from openvpn3_sessionmgr.tests.lab import kernel
from openvpn3_sessionmgr.tests.lab.surroundings import ALICE, BOB
from openvpn3_sessionmgr.tests.packages.machine import JOURNAL, Machine, files, is_installed, packages, run


@pytest.fixture(scope="session", autouse=True)
def accounts() -> None:
    """Debian's own accounts instead of the lab's, and its users among them."""
    for file in (Path("/etc/passwd"), Path("/etc/group")):
        kernel.unmount(file)
    for account in (ALICE, BOB):
        run("useradd", "--uid", str(account.uid), account.name)


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine with a network, on which nothing of the project is installed before and after."""
    before = files()
    JOURNAL.parent.mkdir(parents=True, exist_ok=True)
    with Machine() as made, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(JOURNAL))
        journal.setblocking(False)
        made.journal = journal
        try:
            yield made
        finally:
            JOURNAL.unlink()
            installed = [name for name in (*packages(), "openvpn3-client") if is_installed(name)]
            if installed:
                run("dpkg", "--purge", "--force-depends", *installed)
    assert files() == before
