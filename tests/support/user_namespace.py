"""A network namespace that an ordinary user makes, as `ovpnctl exec` does, and what that user does in it."""

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

import prctl

from ...kernel import process


class UserNamespace:
    """The process of a user who is root in a user namespace of their own, with a network namespace.

    A context manager.
    """

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def __enter__(self) -> Self:
        self._near, far = socket.socketpair()
        self._child = os.fork()
        if self._child == 0:
            with suppress(BaseException):
                self._near.close()
                self._live(far)
            os._exit(1)
        far.close()
        _, [self.handed], _, _ = socket.recv_fds(self._near, 1, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._near.close()
        os.waitpid(self._child, 0)
        with suppress(OSError):
            os.close(self.handed)

    def _live(self, far: socket.socket) -> None:
        os.setgroups([])
        os.setresgid(self._uid, self._uid, self._uid)
        os.setresuid(self._uid, self._uid, self._uid)
        prctl.set_dumpable(1)
        process.unshare(process.CLONE_NEWUSER | process.CLONE_NEWNET)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {self._uid} 1"), ("gid_map", f"0 {self._uid} 1")):
            Path("/proc/self", name).write_text(text)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as handed:
            socket.send_fds(far, [b"!"], [handed.fileno()])
        while command := far.recv(4096):
            done = subprocess.run(command.decode().split(), capture_output=True, check=False)
            far.sendall((done.stdout + done.stderr)[:60000] + b"\0")

    def run(self, command: str) -> str:
        """What a command says that is run in there."""
        self._near.sendall(command.encode())
        said = b""
        while not said.endswith(b"\0"):
            said += (part := self._near.recv(65536))
            assert part, f"{command}: there is no such program"
        return said[:-1].decode()
