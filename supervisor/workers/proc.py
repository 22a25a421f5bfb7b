"""Processes as proc(5) shows them."""

from pathlib import Path


def children(pid: int) -> list[int]:
    """The children of a process (proc_pid_task(5), CONFIG_PROC_CHILDREN).

    psutil would look at every process of the machine for it, which takes milliseconds.
    """
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def process_title(pid: int) -> str:
    """The command line of a process, as ps(1) shows it; "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b" \0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
