"""What there is of the service and its sessions on the machine, as lines that can be compared."""

import re
from pathlib import Path

from ..lab.lab import Lab
from ..lab.network import ip
from ..lab.processes import clean_environment, pids
from ..lab.surroundings import RESOLV_CONF
from ..support.service_life import title

SERVICE, SESSION, ENGINE = "openvpn3-service-sessionmgr", "openvpn3-session", "openvpn --config /run/profile"
_NAMES = re.compile(r", session \S+|\d+ms\b")


def census(lab: Lab, directory: Path) -> frozenset[str]:
    """All of it; who has it may change, as user ids and numbers of sessions do."""
    return frozenset({*_processes(), *_files(directory), *_network(lab), *_mounts(), *_name_servers()})


def _processes() -> set[str]:
    found: dict[str, int] = {}
    for pid in pids():
        shown = _NAMES.sub("", title(pid))
        if shown.startswith((SERVICE, SESSION, ENGINE)):
            shown = ENGINE if shown.startswith(ENGINE) else shown
            found[shown] = found.get(shown, 0) + 1
    return {f"process {shown}, {count} of them" for shown, count in found.items()}


def _files(directory: Path) -> set[str]:
    # Why sessions failed is kept, in bounds, and what was noted of sessions is in files of fixed size.
    return {
        f"file {path.relative_to(directory)}"
        for top in ("state", "runtime")
        for path in (directory / top).rglob("*")
        if "failures" not in path.parts
    }


def _network(lab: Lab) -> set[str]:
    name = lab.client_side.name
    found = {f"device {device}" for device in lab.client_side.devices()}
    for what in ("address", "route", "rule"):
        for family in ("-4", "-6"):
            shown = ip("-n", name, family, "-oneline", what, "show", *(("table", "all") if what == "route" else ()))
            found |= {f"{what} {' '.join(line.split())}" for line in shown.splitlines()}
    ruleset = lab.client_side.run(["nft", "list", "ruleset"], environment=clean_environment()).stdout
    return found | {f"firewall {line.strip()}" for line in ruleset.splitlines() if line.strip()}


def _mounts() -> set[str]:
    return {f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def _name_servers() -> set[str]:
    return {f"resolv.conf: {line}" for line in RESOLV_CONF.read_text().splitlines()}
