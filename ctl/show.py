"""Sessions and profiles as text, and as JSON.

The JSON of a list is one object whose keys are object paths.  Its members are documented where they are made,
`session_json` and `profile_json`; members may be added, none is renamed or removed.
"""

import pwd
import time
from collections.abc import Iterable, Mapping
from typing import Any

from .exits import sanitize
from .status_text import Status

RULE = "-" * 77
_RIGHT_COLUMN = 47  # the second column's labels end here, counted from the end of the first column's


def user_name(uid: int) -> str:
    """The account's name, or its number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def local_time(seconds: int) -> str:
    """A time stamp as local date and time; empty for 0, "never"."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""


def status_of(properties: Mapping[str, Any]) -> Status:
    """The status among a session's properties."""
    return Status(*properties.get("status", ()))


def session_json(path: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """A session as JSON; null where this user may not read a value, or there is none yet.

    path; created (seconds since 1970); owner (name) and owner_uid; pid (of the worker); device; config_name
    and config_path; session_name; connected_to {protocol, address, port}; status {major, minor (numbers, as on
    the bus), text (both in words), message}.
    """
    owner = properties.get("owner")
    protocol, address, port = properties.get("connected_to", ("", "", 0))
    return {
        "path": path,
        "created": properties.get("session_created"),
        "owner": None if owner is None else user_name(owner),
        "owner_uid": owner,
        "pid": properties.get("backend_pid") or None,
        "device": properties.get("device_name") or None,
        "config_name": properties.get("config_name"),
        "config_path": properties.get("config_path"),
        "session_name": properties.get("session_name") or None,
        "connected_to": {"protocol": protocol, "address": address, "port": port} if address else None,
        "status": status_json(status_of(properties)),
    }


def status_json(status: Status) -> dict[str, Any]:
    """A status as JSON, see `session_json`."""
    return {
        "major": status.major,
        "minor": status.minor,
        "text": ", ".join(status.words()),
        "message": status.message,
    }


def session_text(path: str, properties: Mapping[str, Any]) -> str:
    """A session as the openvpn3 command line shows it."""
    owner = properties.get("owner")
    created = local_time(properties.get("session_created", 0)) or "(Not available)"
    name = sanitize(properties.get("config_name", ""))
    protocol, address, port = properties.get("connected_to", ("", "", 0))
    lines = [
        f"        Path: {path}",
        _columns("Created", created, "PID", str(properties.get("backend_pid") or "-")),
        _columns(
            "Owner",
            "(not available)" if owner is None else user_name(owner),
            "Device",
            sanitize(properties.get("device_name", "")),
        ),
    ]
    if name:
        lines.append(f" Config name: {name}")
    if address:
        lines.append(f"Connected to: {sanitize(f'{protocol}:{address}:{port}')}")
    lines.append(f"      Status: {status_of(properties)}")
    return "\n".join(line.rstrip() for line in lines)


def _columns(left: str, left_value: str, right: str, right_value: str) -> str:
    return f"{left:>12}: {left_value}{right + ': ':>{max(_RIGHT_COLUMN - len(left_value), 0)}}{right_value}"


def sessions_text(sessions: Mapping[str, Mapping[str, Any]]) -> str:
    """All sessions, between rules."""
    if not sessions:
        return "No sessions available"
    blocks = (session_text(path, properties) for path, properties in sessions.items())
    return f"{RULE}\n" + "\n\n".join(blocks) + f"\n{RULE}"


def connected_text(properties: dict[str, Any]) -> str:
    """ "Connected to 203.0.113.1 (vpn.example.org)", or without a name "Connected to 203.0.113.1" """
    _, address, _ = properties.get("connected_to", ("", "", 0))
    name = properties.get("session_name", "")
    return sanitize(f"Connected to {address}" + (f" ({name})" if name not in ("", address) else ""))


def profile_json(path: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """A profile as JSON, with the members that `openvpn3 configs-list --json` has, and its path.

    name; imported, lastused (local time) and …_tstamp (seconds since 1970); use_count; valid; tags; dco;
    transfer_owner_session; persistent; single_use; acl {owner, locked_down, public_access, granted_access}.
    """
    imported = properties.get("import_timestamp", 0)
    last_used = properties.get("last_used_timestamp", 0)
    return {
        "path": path,
        "name": properties.get("name", ""),
        "imported_tstamp": imported,
        "imported": local_time(imported),
        "lastused_tstamp": last_used,
        "lastused": local_time(last_used),
        "use_count": properties.get("used_count", 0),
        "valid": properties.get("valid", False),
        "tags": list(properties.get("tags", ())),
        "dco": properties.get("dco", False),
        "transfer_owner_session": properties.get("transfer_owner_session", False),
        "persistent": properties.get("persistent", False),
        "single_use": properties.get("single_use", False),
        "acl": {
            "owner": user_name(properties.get("owner", 0)),
            "locked_down": properties.get("locked_down", False),
            "public_access": properties.get("public_access", False),
            "granted_access": [user_name(uid) for uid in properties.get("acl", ())],
        },
    }


def profiles_text(profiles: Mapping[str, Mapping[str, Any]], verbose: bool) -> str:
    """All profiles as a table, in the order of the openvpn3 command line's."""
    rule = "-" * 78
    if verbose:
        head = f"Configuration path\n{'Imported':<32}{'Last used':<26}Used\n{'Configuration Name':<58}Owner"
        rows = "\n\n".join(_profile_block(path, properties) for path, properties in profiles.items())
    else:
        head = f"{'Configuration Name':<58}Last used"
        rows = "\n".join(_profile_line(properties) for properties in profiles.values())
    return "\n".join(part for part in (head, rule, rows, rule) if part)


def _marked_name(properties: Mapping[str, Any]) -> str:
    mark = "" if properties.get("valid", True) else "!! "
    return mark + sanitize(properties.get("name", ""))


def _profile_line(properties: Mapping[str, Any]) -> str:
    last_used = local_time(properties.get("last_used_timestamp", 0)) or "-"
    return f"{_marked_name(properties):<57} {last_used}"


def _profile_block(path: str, properties: Mapping[str, Any]) -> str:
    imported = local_time(properties.get("import_timestamp", 0))
    last_used = local_time(properties.get("last_used_timestamp", 0))
    owner = user_name(properties["owner"]) if "owner" in properties else "-"
    return (
        f"{path}\n{imported:<32}{last_used:<26}{properties.get('used_count', 0)}\n"
        f"{_marked_name(properties):<57} {owner}"
    )


def statistics_text(statistics: Mapping[str, int]) -> str:
    """A session's counters, one a line."""
    if not statistics:
        return "No statistics available"
    return "\n".join(["Connection statistics:", *_counter_lines(statistics.items())])


def _counter_lines(counters: Iterable[tuple[str, int]]) -> list[str]:
    return [f"     {sanitize(name):.<26}{value:>14}" for name, value in sorted(counters)]
