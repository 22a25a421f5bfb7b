"""Processes as proc(5) shows them."""

import os

_CHUNK = 65536  # bytes read at once; the kernel gives a page at a time


def children(pid: int) -> list[int]:
    """The children of a process (proc_pid_task(5), CONFIG_PROC_CHILDREN).

    psutil would look at every process of the machine for it, which takes milliseconds.
    """
    try:
        return [int(child) for child in content(f"/proc/{pid}/task/{pid}/children").split()]
    except OSError:
        return []


def process_title(pid: int) -> str:
    """The command line of a process, as ps(1) shows it; "" if it is gone."""
    try:
        return content(f"/proc/{pid}/cmdline").rstrip(b" \0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def content(file: str) -> bytes:
    """What a file of /proc has.  Raises OSError.  A file object would take three times as long, for each process."""
    found = b""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while piece := os.read(descriptor, _CHUNK):
            found += piece
        return found
    finally:
        os.close(descriptor)
