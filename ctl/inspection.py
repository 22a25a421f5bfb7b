"""The processes of a session as JSON, and as tables."""

import io
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..policy.sandbox.layers import LAYERS, Layer
from .exits import sanitize
from .show import local_time, session_json
from .status_text import Status

_WIDTH = 200  # columns where there is no terminal: nothing is broken into lines
_AS_READ = ("uid", "state", "cpu_user", "cpu_system", "memory", "shared", "threads", "started")


def inspection_json(
    path: str, properties: Mapping[str, Any], inspection: Mapping[str, Any], details: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    """A session as JSON; `details` are those of its processes, by pid.

    The members of `session_json`, and those that `ovpnctl inspect --help` lists.
    """
    rows = [{name: variant.value for name, variant in row.items()} for row in inspection.get("processes", ())]
    return {
        **session_json(path, properties),
        "session_uid": inspection.get("session_uid") or None,
        "notices": list(inspection.get("notices", ())),
        "layers": list(inspection.get("layers", ())),
        "name_servers": list(inspection.get("name_servers", ())),
        "domains": list(inspection.get("domains", ())),
        "dns_backend": inspection.get("dns_backend") or None,
        "missing_layers": dict(inspection.get("missing_layers", {})),
        "processes": [_process_json(row, details.get(row["pid"])) for row in rows],
    }


def _process_json(row: Mapping[str, Any], details: Mapping[str, Any] | None) -> dict[str, Any]:
    gone = "started" not in row
    percent = None
    if not gone:
        lived = max(time.time() - row["started"], 0.01)  # the clock's tick, proc(5)
        percent = round(100 * (row["cpu_user"] + row["cpu_system"]) / lived, 1)
    return {
        "role": row["role"],
        "pid": row["pid"],
        "gone": gone,
        **{name: row.get(name) for name in _AS_READ},
        "cpu_percent": percent,
        "details": details,
    }


def _names(shown: Mapping[str, Any]) -> str:
    by = f"set by {shown['dns_backend']}" if shown["dns_backend"] else ""
    if not shown["name_servers"]:
        return f"none; {by}" if by else "-"
    domains = ", ".join("all names" if one == "." else one for one in shown["domains"]) or "no names"
    return f"{', '.join(shown['name_servers'])} for {domains}, {by}"


def inspection_text(shown: Mapping[str, Any]) -> str:
    """The result of `inspection_json` as tables."""
    status = Status(shown["status"]["major"], shown["status"]["minor"], shown["status"]["message"])
    processes = shown["processes"]
    parts: list[Table | Text] = [
        _pairs(
            ("Session", shown["path"]),
            ("Profile", shown["config_name"]),
            ("Owner", f"{shown['owner']} (uid {shown['owner_uid']})"),
            ("Runs as", f"uid {shown['session_uid']}" if shown["session_uid"] else "-"),
            ("Device", shown["device"] or "-"),
            ("DNS", _names(shown)),
            ("Status", str(status)),
        )
    ]
    if shown["notices"]:
        parts.append(_notices(shown["notices"]))
    if shown["layers"] or shown["missing_layers"]:
        parts.append(_layers(shown["layers"], shown["missing_layers"]))
    elif processes:
        parts.append(Text("Its processes have not reported yet that they are confined."))
    parts.append(_processes(processes) if processes else Text("It has no processes."))
    if processes and not any(process["details"] for process in processes):
        parts.append(Text("Root sees more: descriptors, bytes read and written, memory of its own, capabilities."))
    return _rendered(parts)


def _pairs(*pairs: tuple[str, str | None]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(f"{name}:", style="bold"), Text(sanitize(value or "")))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    return table


def _notices(notices: Iterable[str]) -> Table:
    table = _table("Left out or changed")
    for notice in notices:
        table.add_row(Text(sanitize(notice)))
    return table


def _layers(layers: Iterable[str], missing: Mapping[str, str]) -> Table:
    table = _table("Layer", "In force", "What it does, or why it is missing")
    chosen = set(layers)
    for name in [*(layer for layer in Layer if layer in chosen or layer in missing), *chosen.difference(Layer)]:
        does = LAYERS[Layer(name)].does if name in set(Layer) else ""
        if name in chosen:
            table.add_row(Text(sanitize(name)), Text("yes", style="green"), Text(does))
        else:
            table.add_row(Text(name), Text("no", style="red"), Text(sanitize(f"{does}: {missing[name]}")))
    return table


def _processes(processes: Sequence[Mapping[str, Any]]) -> Table:
    """One column for each process, which fits a terminal of 80 columns."""
    table = _table("Process", *(sanitize(process["role"]) for process in processes))
    columns = [_readings(process) for process in processes]
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(Text(name), *(Text(sanitize(column.get(name, "-"))) for column in columns))
    return table


def _readings(process: Mapping[str, Any]) -> dict[str, str]:
    head = {"PID": str(process["pid"])}
    if process["gone"]:
        return head | {"State": "gone"}
    cpu = process["cpu_user"] + process["cpu_system"]
    return {
        **head,
        "State": process["state"],
        "User id": str(process["uid"]),
        "CPU": f"{cpu:.2f} s ({process['cpu_percent']:.1f} %)",
        "Memory": f"{size(process['memory'])} ({size(process['shared'])} shared)",
        "Threads": str(process["threads"]),
        "Started": local_time(int(process["started"])),
        **(_details(process["details"]) if process["details"] else {}),
    }


def _details(found: Mapping[str, Any]) -> dict[str, str]:
    held = [f"{name} {mask}" for name, mask in found["capabilities"].items() if int(mask, 16)]
    return {
        "Memory of its own": size(found["uss"]),
        "Its share of memory": size(found["pss"]),
        "Swap": size(found["swap"]),
        "Descriptors": str(found["descriptors"]),
        "Read": size(found["read_bytes"]),
        "Written": size(found["written_bytes"]),
        "Capabilities": ", ".join(held) or "none",
        "No new privileges": "yes" if found["no_new_privs"] else "no",
        "Seccomp": f"{found['seccomp_filters']} filters" if found["seccomp"] == 2 else "no filter",
        "Own namespaces": ", ".join(found["namespaces"]) or "none",
    }


def size(number: int) -> str:
    """A number of bytes in kB (1024 bytes), as ps(1) and top(1) show memory, or MB from 10 MB on."""
    kilobytes = number / 1024
    return f"{kilobytes:.0f} kB" if kilobytes < 10240 else f"{kilobytes / 1024:.1f} MB"


def _rendered(parts: Iterable[Table | Text]) -> str:
    """As text, with colours on a terminal, broken to its width."""
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console(file=io.StringIO(), force_terminal=on_terminal, width=None if on_terminal else _WIDTH)
    with console.capture() as captured:
        for number, part in enumerate(parts):
            if number:
                console.print()
            console.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
