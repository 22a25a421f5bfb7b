"""A way to the bus that is cut once, when a client says a certain word."""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

from ..lab.surroundings import SERVICE

_PIECE = 65536  # bytes


class CutBus:
    """Listens at `path`, and passes on what the service and the bus at `address` say to each other.  A context manager.

    The first connection is cut when the service says `word`; those that follow are not.
    """

    def __init__(self, path: Path, address: str, word: bytes) -> None:
        self.address = f"unix:path={path}"
        self.cut = threading.Event()
        self._bus = address.removeprefix("unix:path=").partition(",")[0]
        self._word = word
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> "CutBus":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._open):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            # The bus takes a connection's user from the moment it connects.
            os.seteuid(SERVICE.uid)
            try:
                far.connect(self._bus)
            finally:
                os.seteuid(0)
            self._open += [near, far]
            for source, target, word in ((near, far, self._word), (far, near, b"")):
                thread = threading.Thread(target=self._pass_on, args=(source, target, word), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, source: socket.socket, target: socket.socket, word: bytes) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                if word and word in piece and not self.cut.is_set():
                    self.cut.set()
                    break
                target.sendall(piece)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
