"""The command line of openvpn3-service-sessionmgr; option names as in the original's manual page."""

import argparse
import math
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, cast, get_args

import msgspec

from ...policy import device_names
from ...policy.dbus_numbers import DEFAULT_LOG_LEVEL, MAX_LOG_LEVEL
from ...policy.limits import BUS_WAIT, CONNECT_DEADLINE, LOOK_INTERVAL, MAX_LOCK_NETWORKS, SESSION_UIDS, STOPPED_GRACE
from ...policy.profile.pkcs11 import MAX_PROVIDERS, Provider, parse_provider
from ...policy.redirect import FIRST_PRIORITY, FIRST_TABLE, MARK, PRIORITIES, TABLES, WhileNotConnected
from ...policy.rights import DEFAULTS, Right, Rule, parse_who
from ...policy.sandbox.layers import Layer
from ..dns import choice as dns_choice
from ..sandbox import choice
from ..version import API_VERSION, VERSION

PROGRAM = "openvpn3-service-sessionmgr"
_LOWEST_SESSION_UID = 1000  # below are system accounts
_HIGHEST_UID = 2**32 - 3  # the last two mean "nobody given" to various system calls
_MAIN_PRIORITY = 32766  # of the rule for the machine's main routing table
_LAST_NAMED_TABLE = 255  # the local one
_TOO_MANY = 1_000_000  # minutes or seconds


class Options(msgspec.Struct, frozen=True):
    """The options, with their defaults."""

    log_level: int
    log_file: str | None
    colour: bool
    idle_exit: float  # seconds; 0: never
    bus_wait: float  # seconds; 0: for ever
    connect_timeout: float  # seconds
    stopped_grace: float  # seconds; 0: for ever
    look_interval: float  # seconds
    state_dir: Path
    runtime_dir: Path
    engine: Path
    configuration: Literal["auto", "embedded", "external"]
    session_uids: range
    process_titles: Literal["full", "plain"]
    sandbox: str | frozenset[Layer]  # "available", "strict", or exactly these
    public_networks: Literal["allow", "refuse"]
    device_names: tuple[str, ...]
    start_sessions: tuple[str, ...]
    dns: tuple[str, ...]  # who
    dns_global: tuple[str, ...]  # who
    dns_backend: dns_choice.Option
    redirect: tuple[str, ...]  # who
    kill_switch: tuple[str, ...]  # who
    redirect_rules: int  # the first priority
    redirect_tables: int  # the first one
    redirect_mark: int  # one bit
    while_not_connected: WhileNotConnected
    kill_switch_allow: tuple[str, ...]  # networks
    unlock: bool  # nothing else
    clean_up: bool  # the same
    pkcs11_providers: tuple[Provider, ...]

    @property
    def rights(self) -> dict[Right, Rule]:
        """For whom each right is."""
        chosen = {right: getattr(self, right.replace("-", "_")) for right in Right}
        return {
            right: Rule(who, f"--{right} {','.join(who)}" if who != DEFAULTS[right] else "")
            for right, who in chosen.items()
        }


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line; the manual page is made from it."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Session manager for OpenVPN 3 Linux. Started by D-Bus as root, whose privileges it gives up.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {VERSION} (D-Bus API {API_VERSION})")
    parser.add_argument(
        "--log-level",
        type=int,
        choices=range(MAX_LOG_LEVEL + 1),
        default=DEFAULT_LOG_LEVEL,
        metavar=f"0-{MAX_LOG_LEVEL}",
        help=f"log level (default {DEFAULT_LOG_LEVEL}; {MAX_LOG_LEVEL} logs everything)",
    )
    parser.add_argument(
        "--log-file",
        type=_given,
        metavar="FILE",
        help="log to FILE (stdout: for standard output), in addition to journald or syslog",
    )
    parser.add_argument("--colour", action="store_true", help="use colours in --log-file")
    parser.add_argument(
        "--idle-exit",
        type=_minutes,
        default="3",
        metavar="MINUTES",
        help="end after MINUTES without a session and without a call (default 3; 0: never; may be a fraction)",
    )
    parser.add_argument(
        "--bus-wait",
        type=_grace,
        default=str(BUS_WAIT),
        metavar="SECONDS",
        help="when the bus has gone, sessions go on, and it is joined again when it is back; end after SECONDS without "
        f"it and without a session (default {BUS_WAIT:g}; 0: never)",
    )
    parser.add_argument(
        "--connect-timeout",
        type=_seconds,
        default=str(CONNECT_DEADLINE),
        metavar="SECONDS",
        help=f"fail a session that is not connected after SECONDS (default {CONNECT_DEADLINE:g})",
    )
    parser.add_argument(
        "--stopped-grace",
        type=_grace,
        default=str(STOPPED_GRACE),
        metavar="SECONDS",
        help="a process that is stopped (SIGSTOP, as debuggers do) for SECONDS counts as stuck: a session ends or is "
        f"started again, a helper is replaced (default {STOPPED_GRACE:g}; 0: never)",
    )
    parser.add_argument(
        "--look-interval",
        type=_seconds,
        default=str(LOOK_INTERVAL),
        metavar="SECONDS",
        help="while there are sessions, look every SECONDS for processes that use a processor all the time, and ask "
        f"these whether they still answer (default {LOOK_INTERVAL:g})",
    )
    parser.add_argument(
        "--state-dir",
        type=_path,
        default="/var/lib/openvpn3-sessionmgr",
        metavar="DIR",
        help="directory for persistent profiles (default %(default)s)",
    )
    parser.add_argument(
        "--runtime-dir",
        type=_path,
        default="/run/openvpn3-sessionmgr",
        metavar="DIR",
        help="directory for other profiles and for clean-up after a crash; on a tmpfs (default %(default)s)",
    )
    parser.add_argument(
        "--openvpn",
        dest="engine",
        type=_path,
        default="/usr/sbin/openvpn",
        metavar="PATH",
        help="path of the openvpn program (default %(default)s)",
    )
    parser.add_argument(
        "--configuration",
        choices=("auto", "embedded", "external"),
        default="auto",
        help="which configuration service to use: that of this program (embedded), that of OpenVPN 3 Linux (external), "
        "or the latter if it is installed (auto, the default)",
    )
    parser.add_argument(
        "--session-uids",
        type=_uids,
        default=f"{SESSION_UIDS.start}-{SESSION_UIDS.stop - 1}",
        metavar="FIRST-LAST",
        help="user ids for sessions, not used by anything else (default %(default)s)",
    )
    parser.add_argument(
        "--process-titles",
        choices=("full", "plain"),
        default="full",
        help="what ps(1) shows everybody of a session: its number and the names of its profile and owner (full, the "
        "default), or only the number (plain)",
    )
    parser.add_argument(
        "--sandbox",
        type=_sandbox,
        default=choice.AVAILABLE,
        metavar="available|strict|LAYER,LAYER…",
        help="confine sessions by all layers that this machine has, and log which are missing (available, the "
        "default); refuse to start if one is missing (strict); or for tests, use exactly these layers, or none",
    )
    parser.add_argument(
        "--public-networks",
        choices=("allow", "refuse"),
        default="allow",
        help="whether tunnels may have public addresses and routes (allow, the default: routes to as much as two /8 of "
        "IPv4 and two /16 of IPv6 for each user), or private ones only (refuse)",
    )
    parser.add_argument(
        "--device-names",
        type=_device_names,
        default=",".join(device_names.DEFAULT),
        metavar="PATTERN,PATTERN…",
        help="names that profiles may give to their devices (dev NAME), with * and ? as in a shell (default "
        "%(default)s); none that another device has. Firewalls trust devices by their names: list none that a rule of "
        "this machine is about. Where a profile asks for another name, its device is tun0, tun1…, and a notice says so",
    )
    parser.add_argument(
        "--start-sessions",
        type=_who,
        default="any",
        metavar="WHO",
        help="who may start sessions (default %(default)s). WHO is any, refuse (nobody), or a list, with commas, of "
        "root (who is in each list), users, groups with @ before their name, and seat (whoever is active on a local "
        "seat, as systemd-logind says)",
    )
    parser.add_argument(
        "--dns",
        type=_who,
        default="any",
        metavar="WHO",
        help="whose sessions may set name servers of this machine (default %(default)s)",
    )
    parser.add_argument(
        "--dns-global",
        type=_who,
        default="any",
        metavar="WHO",
        help="whose sessions may set name servers that all names are looked up with; others get them for their "
        "domains only (default %(default)s)",
    )
    parser.add_argument(
        "--dns-backend",
        choices=get_args(dns_choice.Option),
        default="auto",
        help="how name servers are set: by systemd-resolved, by resolvconf, in /etc/resolv.conf, not at all, or as "
        "/etc/resolv.conf is maintained on this machine (auto, the default)",
    )
    parser.add_argument(
        "--redirect",
        type=_who,
        default="any",
        metavar="WHO",
        help="whose sessions may send all traffic of this machine through their tunnel, if profile or server ask for "
        "it; others fail (default %(default)s)",
    )
    parser.add_argument(
        "--kill-switch",
        type=_who,
        default=",".join(DEFAULTS[Right.KILL_SWITCH]),
        metavar="WHO",
        help="whose sessions may have a kill switch (default %(default)s)",
    )
    parser.add_argument(
        "--redirect-rules",
        type=_priority,
        default=str(FIRST_PRIORITY),
        metavar="PRIORITY",
        help=f"use routing rules of the {PRIORITIES} priorities from PRIORITY on for that (default %(default)s)",
    )
    parser.add_argument(
        "--redirect-tables",
        type=_table,
        default=str(FIRST_TABLE),
        metavar="TABLE",
        help=f"use the {TABLES} routing tables from TABLE on for that (default %(default)s)",
    )
    parser.add_argument(
        "--redirect-mark",
        type=_bit,
        default=f"{MARK:#x}",
        metavar="MARK",
        help="mark answers to who connected from outside, so that they do not go through a tunnel, by this one bit of "
        "packets' and connections' marks, which no other program uses (default %(default)s)",
    )
    parser.add_argument(
        "--while-not-connected",
        choices=get_args(WhileNotConnected),
        default="open",
        help="what becomes of that traffic while the session is paused, reconnects or has lost its engine: it goes as "
        "without a tunnel (open, the default) or nowhere (closed), where the profile does not choose; always-open and "
        "always-closed, whatever the profile chooses",
    )
    parser.add_argument(
        "--kill-switch-allow",
        type=_networks,
        default="",
        metavar="NETWORK,NETWORK…",
        help="what may leave this machine past all tunnels while a kill switch is on, as 192.0.2.0/24 or "
        "2001:db8::/64; local networks, printers and containers are blocked unless they are listed (default: none)",
    )
    parser.add_argument(
        "--clean-up",
        action="store_true",
        help="as root, and while the service does not run, end the sessions that an instance which was killed has "
        "left, remove what it has set, and do nothing else",
    )
    parser.add_argument(
        "--unlock",
        action="store_true",
        help="end the kill switch of a service that does not run, as root, and do nothing else",
    )
    parser.add_argument(
        "--pkcs11-provider",
        dest="pkcs11_providers",
        type=_provider,
        action="append",
        default=[],
        metavar="NAME=MODULE[,PATH...][,group=GROUP]",
        help="let profiles use keys on PKCS#11 tokens: pkcs11-providers NAME loads MODULE. Only sessions that use it "
        "see it and the files and directories PATH that it needs (configuration, files of tokens, /run/pcscd), all "
        "read-only, and are members of GROUP; may be repeated",
    )
    return parser


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; prints help, version or what is wrong, and raises SystemExit for those."""
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    if problem := _providers_problem(chosen.pkcs11_providers):
        parser.error(f"argument --pkcs11-provider: {problem}")
    return Options(
        log_level=chosen.log_level,
        log_file=chosen.log_file,
        colour=chosen.colour,
        idle_exit=chosen.idle_exit,
        bus_wait=chosen.bus_wait,
        connect_timeout=chosen.connect_timeout,
        stopped_grace=chosen.stopped_grace,
        look_interval=chosen.look_interval,
        state_dir=chosen.state_dir,
        runtime_dir=chosen.runtime_dir,
        engine=chosen.engine,
        configuration=cast(Literal["auto", "embedded", "external"], chosen.configuration),
        session_uids=chosen.session_uids,
        process_titles=cast(Literal["full", "plain"], chosen.process_titles),
        sandbox=chosen.sandbox,
        public_networks=cast(Literal["allow", "refuse"], chosen.public_networks),
        device_names=chosen.device_names,
        start_sessions=chosen.start_sessions,
        dns=chosen.dns,
        dns_global=chosen.dns_global,
        dns_backend=cast(dns_choice.Option, chosen.dns_backend),
        redirect=chosen.redirect,
        kill_switch=chosen.kill_switch,
        redirect_rules=chosen.redirect_rules,
        redirect_tables=chosen.redirect_tables,
        redirect_mark=chosen.redirect_mark,
        while_not_connected=cast(WhileNotConnected, chosen.while_not_connected),
        kill_switch_allow=chosen.kill_switch_allow,
        unlock=chosen.unlock,
        clean_up=chosen.clean_up,
        pkcs11_providers=tuple(chosen.pkcs11_providers),
    )


def _number(text: str, *, lowest: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not lowest <= value < _TOO_MANY:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {lowest:g} to {_TOO_MANY - 1}")
    return value


def _minutes(text: str) -> float:
    return _number(text, lowest=0) * 60


def _seconds(text: str) -> float:
    return _number(text, lowest=1)


def _grace(text: str) -> float:
    return _number(text, lowest=0)


def _priority(text: str) -> int:
    return _whole(text, range(1, _MAIN_PRIORITY - PRIORITIES))


def _table(text: str) -> int:
    return _whole(text, range(_LAST_NAMED_TABLE + 1, 2**31))


def _bit(text: str) -> int:
    try:
        mark = int(text, 0)
    except ValueError:
        mark = 0
    if not 0 < mark < 2**32 or mark.bit_count() != 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a mark with one bit of 32, as 0x10000000")
    return mark


def _whole(text: str, numbers: range) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 11 and int(text) in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {numbers[0]} to {numbers[-1]}")
    return int(text)


def _given(text: str) -> str:
    # An empty value, most likely of an unset variable, would mean the working directory, or no log.
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return text


def _path(text: str) -> Path:
    return Path(_given(text)).absolute()


def _who(text: str) -> tuple[str, ...]:
    try:
        return parse_who(_given(text).split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _device_names(text: str) -> tuple[str, ...]:
    try:
        return device_names.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _networks(text: str) -> tuple[str, ...]:
    networks = [_network(one) for one in text.split(",")] if text else []
    if len(networks) > MAX_LOCK_NETWORKS:
        raise argparse.ArgumentTypeError(f"{len(networks)} networks are more than {MAX_LOCK_NETWORKS}")
    return tuple(dict.fromkeys(networks))


def _network(text: str) -> str:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not network.prefixlen:
        raise argparse.ArgumentTypeError(f"{text} is everything")
    return str(network)


def _provider(text: str) -> Provider:
    try:
        return parse_provider(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _providers_problem(providers: Sequence[Provider]) -> str:
    """What is wrong with them together, if anything is."""
    names = [provider.name for provider in providers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"{twice[0]!r} is listed more than once"
    return f"more than {MAX_PROVIDERS} providers" if len(names) > MAX_PROVIDERS else ""


def _sandbox(text: str) -> str | frozenset[Layer]:
    try:
        return choice.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _uids(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        ids = range(int(first), int(last) + 1)
    except ValueError:
        ids = range(0)
    # The first one is the resolver's.
    if len(ids) < 2 or ids.start < _LOWEST_SESSION_UID or ids.stop > _HIGHEST_UID + 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not FIRST-LAST with two ids or more from {_LOWEST_SESSION_UID} to {_HIGHEST_UID}"
        )
    return ids
