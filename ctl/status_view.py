"""What is in force of a session, as JSON and as text."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..policy.dbus_numbers import StatusMajor, StatusMinor
from .exits import sanitize
from .inspection import size
from .show import local_time, session_json, status_of

Shown = Mapping[str, Any]
_WAYS = {"tunnel": "", "past": "past the tunnel", "several": "several ways", "throw": "as if it were not in the table"}
_WIDTH = 15  # of the labels
_MAIN_TABLE = 254
NOTHING: Shown = {}


def status_json(
    path: str, properties: Shown, inspection: Shown, in_force: Shown, namespace: Shown = NOTHING
) -> dict[str, Any]:
    """A session as JSON, with the members that `ovpnctl status --help` lists."""
    in_force = {**in_force, **_inside(namespace)}
    status = status_of(properties)
    statistics = properties.get("statistics", {})
    cause, text, hint = inspection.get("last_error", ("", "", ""))
    return {
        **session_json(path, properties),
        "connected": (status.major, status.minor) == (StatusMajor.CONNECTION, StatusMinor.CONN_CONNECTED),
        **{name: in_force.get(name) or None for name in ("connected_since", "last_handshake", "tls", "cipher")},
        "bytes_in": statistics.get("BYTES_IN", 0),
        "bytes_out": statistics.get("BYTES_OUT", 0),
        "commands": _list(namespace, "holders"),
        "mtu": in_force.get("mtu") or None,
        **{name: _list(in_force, name) for name in ("addresses", "gateways")},
        "routes": _rows(in_force, "routes", ("destination", "way", "metric", "table")),
        "more_routes": in_force.get("more_routes"),
        **{name: _list(in_force, name) for name in ("rules", "default_route", "name_servers", "domains")},
        "dns_backend": inspection.get("dns_backend") or None,
        "not_in_force": _rows(in_force, "pending", ("what", "why")),
        "more_not_in_force": in_force.get("more_pending"),
        "notices": _list(inspection, "notices"),
        "last_error": {"cause": cause, "text": text, "hint": hint} if text else None,
        "unknown": _list(in_force, "unknown"),
    }


def _inside(namespace: Shown) -> dict[str, Any]:
    """What is set in the network namespace that its device is in, by the names of what is in force."""
    network = {name: variant.value for name, variant in namespace.get("network", {}).items()}
    if not network:
        return {}
    addresses = [f"{local}/{prefix}" for local, prefix, _ in network["addresses"]]
    servers = network["name_servers"]
    domains = [".", *network["domains"]] if servers else []
    return {"mtu": network["mtu"], "addresses": addresses, "name_servers": servers, "domains": domains}


def _list(properties: Shown, name: str) -> list[str] | None:
    return list(properties[name]) if name in properties else None


def _rows(properties: Shown, name: str, members: Sequence[str]) -> list[dict[str, Any]] | None:
    if name not in properties:
        return None
    return [dict(zip(members, row, strict=True)) for row in properties[name]]


def brief_text(shown: Shown) -> str:
    """A session in a few lines."""
    device = f" on {shown['device']}" if shown["device"] else ""
    lines = [f"{sanitize(shown['config_name'] or shown['path'])}: {_state(shown)}{device}"]
    if shown["connected"]:
        lines.append(f"{_server(shown)}; {', '.join(shown['addresses'] or ()) or 'no address'}")
        lines.append(f"default route: {_default_route(shown)}; DNS: {_names(shown)}")
    if shown["commands"]:
        lines.append(_owners_namespace(shown))
    lines += [f"not in force: {one}" for one in _lacking(shown)]
    if shown["last_error"]:
        lines += [f"last error: {sanitize(shown['last_error']['text'])}"]
        lines += [sanitize(shown["last_error"]["hint"])] if shown["last_error"]["hint"] else []
    return "\n  ".join(lines)


def full_text(shown: Shown) -> str:
    """A session with all that is known of it."""
    lines: list[str] = []
    for label, values in _parts(shown):
        for number, value in enumerate(values):
            lines.append(f"{'' if number else label + ':':>{_WIDTH}} {sanitize(value)}")
    return "\n".join(lines)


def _parts(shown: Shown) -> Iterator[tuple[str, Iterable[str]]]:
    yield "Profile", [shown["config_name"] or ""]
    yield "Session", [shown["path"]]
    yield "State", [_state(shown)]
    if error := shown["last_error"]:
        yield "Last error", [error["text"]]
        yield "What to do", [error["hint"]] if error["hint"] else []
    if shown["connected_to"]:
        yield "Server", [_server(shown)]
    if shown["cipher"] or shown["tls"]:
        yield "Encryption", [", ".join(filter(None, (shown["cipher"], shown["tls"])))]
    if shown["last_handshake"]:
        yield "Last handshake", [_moment(shown["last_handshake"])]
    yield "Traffic", [f"{size(shown['bytes_in'])} in, {size(shown['bytes_out'])} out"]
    if shown["device"]:
        yield "Device", [f"{shown['device']}, MTU {shown['mtu']}" if shown["mtu"] else shown["device"]]
    if shown["commands"]:
        yield "Namespace", [_owners_namespace(shown)]
    if shown["connected"]:
        yield "Addresses", shown["addresses"] or ["none"]
        yield "Gateway", shown["gateways"] or ()
        yield "Default route", [_default_route(shown)]
        yield "Routes", _routes(shown) or ["none"]
        yield "Rules", shown["rules"] or ()
        yield "DNS", [_names(shown) + (f", set by {shown['dns_backend']}" if shown["dns_backend"] else "")]
    yield "Not in force", _lacking(shown)
    yield "Notices", _notices(shown)
    yield "Not known", shown["unknown"] or ()


def _owners_namespace(shown: Shown) -> str:
    count = len(shown["commands"])
    commands = f"{count} command{'s' if count > 1 else ''}"
    return f"in a network namespace of user {shown['owner']}, for {commands}: nothing else goes through it"


def _state(shown: Shown) -> str:
    if shown["connected"]:
        return f"connected since {_moment(shown['connected_since'])}" if shown["connected_since"] else "connected"
    status, error = shown["status"], shown["last_error"]
    told = error is not None and status["message"] == error["text"]  # on a line of its own
    message = f": {status['message']}" if status["message"] and not told else ""
    return sanitize(f"not connected ({status['text']}{message})")


def _moment(seconds: int) -> str:
    minutes, rest = divmod(max(int(time.time()) - seconds, 0), 60)
    hours, minutes = divmod(minutes, 60)
    ago = f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{rest} s"
    return f"{local_time(seconds)} ({ago})"


def _server(shown: Shown) -> str:
    to = shown["connected_to"]
    if not to:
        return "no server"
    address = f"[{to['address']}]" if ":" in to["address"] else to["address"]
    name = f" ({shown['session_name']})" if shown["session_name"] not in (None, "", to["address"]) else ""
    return sanitize(f"{address}:{to['port']}{name} over {to['protocol']}")


def _default_route(shown: Shown) -> str:
    if shown["commands"]:
        return "of its network namespace only"
    if shown["default_route"] is None:
        return "not known"
    if any(one["what"] == "default route" for one in shown["not_in_force"] or ()):
        return "not through this tunnel"
    through = [f"{version} through the tunnel" for version in shown["default_route"]]
    blocked = [
        f"{version} leads nowhere"
        for version, network in (("IPv4", "0.0.0.0/0"), ("IPv6", "::/0"))
        if any((one["destination"], one["way"]) == (network, "unreachable") for one in shown["routes"] or ())
    ]
    return ", ".join((*through, *blocked)) or "the machine's own"


def _routes(shown: Shown) -> list[str]:
    lines = []
    for one in shown["routes"] or ():
        way = _WAYS.get(one["way"], one["way"])
        metric = f"metric {one['metric']}" if one["metric"] else ""
        table = f"table {one['table']}" if one["table"] != _MAIN_TABLE else ""
        lines.append(", ".join(filter(None, (one["destination"], way, metric, table))))
    return [*lines, *([f"and {shown['more_routes']} more"] if shown["more_routes"] else [])]


def _names(shown: Shown) -> str:
    if not shown["name_servers"]:
        return "the machine's own"
    domains = ", ".join("all names" if one == "." else one for one in shown["domains"] or ()) or "no names"
    return sanitize(f"{', '.join(shown['name_servers'])} for {domains}")


def _lacking(shown: Shown) -> list[str]:
    lines = [sanitize(f"{one['what']}: {one['why']}") for one in shown["not_in_force"] or ()]
    return [*lines, *([f"and {shown['more_not_in_force']} more"] if shown["more_not_in_force"] else [])]


def lacking(in_force: Shown) -> list[str]:
    """Why a session is not usable as its profile asks: what is not in force, and what could not be looked at."""
    rows = _rows(in_force, "pending", ("what", "why"))
    lines = _lacking({"not_in_force": rows, "more_not_in_force": in_force.get("more_pending")})
    return [*lines, *map(sanitize, in_force.get("unknown", ()))]


def _notices(shown: Shown) -> list[str]:
    """Without those that say what is not in force, which is told as it is now."""
    reasons = tuple(f": {one['why']}" for one in shown["not_in_force"] or ())
    return [notice for notice in shown["notices"] or () if not notice.endswith(reasons)]
