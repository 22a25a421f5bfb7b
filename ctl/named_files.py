"""The files that a profile names: found, opened and read as far as that is safe, and put into words if not."""

import os
import stat
from pathlib import Path

from ..policy.limits import MAX_CREDENTIALS_FILE, MAX_PROFILE

_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH


class Unusable(Exception):
    """A file that cannot be embedded; the text says why."""


class NamedFile:
    """The content of a regular file, and who else has access to it.

    It is opened once, so what was looked at is what is read; nothing else than a regular file is opened at all, since
    that may wait for ever, or have an effect.
    """

    def __init__(self, directory: Path, name: str) -> None:
        """Read the file `name`, relative to `directory`.  Raises Unusable."""
        path = directory / name
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                status = os.fstat(handle)
                if stat.S_ISDIR(status.st_mode):
                    raise Unusable(f"{path} is a directory, which cannot be embedded")
                if not stat.S_ISREG(status.st_mode):
                    raise Unusable(f"{path} is no regular file")
                with Path(f"/proc/self/fd/{handle}").open("rb") as stream:
                    self.content = stream.read(MAX_PROFILE + 1)
            finally:
                os.close(handle)
        except OSError as error:
            hint = '; "~" stands for no directory here' if name.startswith("~") else ""
            raise Unusable(f"{path} cannot be read: {error.strerror}{hint}") from None
        if len(self.content) > MAX_PROFILE:
            raise Unusable(f"{path} is larger than {MAX_PROFILE // 2**20} MiB")
        self.path = path
        self.read_by_others = bool(status.st_mode & _OTHERS_READ)
        self.changed_by_others = bool(status.st_mode & stat.S_IWOTH) or status.st_uid not in (0, os.geteuid())

    def text(self) -> str:
        """The content, that of certificates and keys; in a comment beside them, what is not UTF-8 becomes U+FFFD.

        Raises Unusable.
        """
        text = self.content.decode("utf-8", "replace")
        pem = [part.partition("-----END ")[0] for part in text.split("-----BEGIN ")[1:]]
        if "\0" in text or ("\ufffd" in text and not pem) or any("\ufffd" in one for one in pem):
            raise Unusable(f"{self.path} is not PEM: convert it (openssl, -inform der -outform pem)")
        return text if text.endswith("\n") else f"{text}\n"

    def credentials(self) -> str:
        """User name and, on the next line, password; or the first only.

        Raises Unusable for what is more: a profile could have any file read, and the server is told what is in it.
        """
        if len(self.content) > MAX_CREDENTIALS_FILE:
            raise Unusable(f"{self.path} is larger than {MAX_CREDENTIALS_FILE} bytes: it holds more than a password")
        try:
            text = self.content.decode()
        except UnicodeDecodeError:
            raise Unusable(f"{self.path} is not UTF-8") from None
        lines = text.rstrip("\r\n").split("\n")
        if "\0" in text or not lines[0].strip():
            raise Unusable(f"{self.path} does not begin with a user name")
        if len(lines) > 2:
            raise Unusable(f"{self.path} has more than two lines: it is no file of user name and password")
        return "".join(line.rstrip("\r") + "\n" for line in lines)
