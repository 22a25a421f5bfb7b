"""What of this machine's network gets in the way of sessions."""

from collections.abc import Iterable
from pathlib import Path

from ...kernel.netlink.rtnetlink import RT_TABLE_MAIN
from ...policy.redirect import PRIORITIES
from . import kernel_lists
from .finding import Finding, Machine, ok, unknown, warning

_SETTINGS = Path("/proc/sys/net/ipv4/conf")
_STRICT = 1
OUR_TABLES = "openvpn3-sessionmgr"  # what their names in nf_tables begin with
_LOCAL_TABLE = 255


def reverse_paths(_: Machine, settings: Path = _SETTINGS) -> Iterable[Finding]:
    """Devices that take packets only by the way that an answer would go."""
    try:
        values = {one.name: int((one / "rp_filter").read_text()) for one in settings.iterdir()}
    except (OSError, ValueError) as error:
        yield unknown(f"rp_filter cannot be read: {error}", "The host of this container may say.")
        return
    strict = sorted(name for name, value in values.items() if value == _STRICT)
    if strict:
        yield warning(
            f"rp_filter is strict ({', '.join(strict)}): what takes another way than its answer is dropped, as with "
            "two ways to the Internet",
            "sysctl net.ipv4.conf.all.rp_filter=2 (loose) where sessions get no answers; in /etc/sysctl.d to keep it.",
        )
    else:
        yield ok("No device is strict about the way back (rp_filter)")


def routing_rules(machine: Machine) -> Iterable[Finding]:
    """Rules and routes of others that would take what is to go by a tunnel."""
    first = machine.options.redirect_rules
    ours = range(first, first + PRIORITIES)
    found = []
    try:
        for rule in kernel_lists.rules():
            if rule.priority >= ours.stop or rule.priority in ours or not rule.catches_all or rule.more_exact:
                continue
            if rule.table == _LOCAL_TABLE:
                continue
            if not rule.table or kernel_lists.widest(rule.version, rule.table):
                where = f"has all routes of table {rule.table}" if rule.table else "lets nothing through"
                found.append(f"rule {rule.priority} for IPv{rule.version} {where}")
        halves = [f"IPv{version}" for version in (4, 6) if 1 in kernel_lists.widest(version, RT_TABLE_MAIN)]
    except OSError as error:
        yield unknown(f"Routing rules cannot be listed: {error.strerror or error}", "The host of this container may.")
        return
    if found:
        yield warning(
            f"Others' rules come before ours: {'; '.join(found)}",
            f"Sessions get no default route past them: end that VPN, or set redirect-rules below {first}.",
        )
    if halves:
        yield warning(
            f"Another VPN has halves of the default route ({', '.join(halves)}) in the main table",
            "Engines go by that VPN: end it, if they are not to.",
        )
    if not found and not halves:
        yield ok("No other rule or route comes before those of sessions")


def firewalls(_: Machine) -> Iterable[Finding]:
    """Tables of nf_tables that drop what leaves."""
    try:
        dropping = [(table, chain) for table, chain in kernel_lists.dropping_chains() if not is_ours(table)]
        others = sorted({table for table in kernel_lists.tables() if not is_ours(table)})
    except OSError as error:
        yield unknown(f"The rules of nf_tables cannot be listed: {error.strerror or error}")
        return
    if dropping:
        names = ", ".join(f"{table} {chain}" for table, chain in dropping)
        yield warning(
            f"A firewall drops what leaves unless it lets it out: {names}",
            "Have it let out what the engines send to their servers, and all by the devices tun*: nft list ruleset",
        )
    else:
        yield ok("No firewall drops what leaves; " + (f"tables: {', '.join(others)}" if others else "no other table"))


def is_ours(table: str) -> bool:
    return table.startswith(OUR_TABLES)
