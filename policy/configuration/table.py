"""Every option of the service, a row each: made into its command line, its configuration files and their manual."""

from collections.abc import Sequence
from typing import get_args

from .. import device_names
from ..dbus_numbers import DEFAULT_LOG_LEVEL, MAX_LOG_LEVEL
from ..dns import BackEnd
from ..limits import (
    BUS_WAIT,
    CONNECT_DEADLINE,
    DEFAULT_SESSIONS,
    DEFAULT_SESSIONS_PER_USER,
    LOOK_INTERVAL,
    MAX_PROFILES_PER_USER,
    MAX_SESSIONS,
    PROFILES_IN_MEMORY,
    PROFILES_IN_MEMORY_PER_USER,
    PROFILES_ON_DISK,
    PROFILES_ON_DISK_PER_USER,
    SESSION_UIDS,
    STOPPED_GRACE,
)
from ..redirect import FIRST_PRIORITY, FIRST_TABLE, MARK, PRIORITIES, TABLES, WhileNotConnected
from ..rights import DEFAULTS, Right
from ..sandbox.layers import AVAILABLE
from . import kinds
from .option import Option, Section

_MAIN_PRIORITY = 32766  # of the rule for the machine's main routing table
_LAST_NAMED_TABLE = 255  # the local one
_MIB = 2**20
DIRECTORY = "/etc/openvpn3-sessionmgr"


def _right(right: Right, doc: str) -> Option:
    return Option(right.value, Section.WHO, kinds.WHO, doc, ",".join(DEFAULTS[right]), metavar="WHO", live=True)


def _quota(name: str, doc: str, default: int, most: int, *, mebibytes: bool = False) -> Option:
    kind, unit, metavar = (kinds.mebibytes, _MIB, "MIB") if mebibytes else (kinds.whole, 1, "NUMBER")
    numbers = range(1, most // unit + 1)
    text = f"{doc} (default {{default}}, at most {numbers[-1]})"
    return Option(name, Section.QUOTAS, kind(numbers), text, str(default // unit), metavar=metavar, live=True)


OPTIONS: Sequence[Option] = (
    Option(
        "config-dir",
        Section.SERVICE,
        kinds.PATH,
        "the directory of the configuration: config.toml, and config.d/*.toml (default {default}, see "
        "openvpn3-sessionmgr.conf(5))",
        DIRECTORY,
        metavar="DIR",
        in_files=False,
    ),
    _right(
        Right.START_SESSIONS,
        "who may start sessions (default {default}). WHO is any, refuse (nobody), or a list of root (who is in each "
        "list), users, groups with @ before their name, and seat (whoever is active on a local seat, as systemd-logind "
        "says)",
    ),
    _right(
        Right.REDIRECT,
        "whose sessions may send all traffic of this machine through their tunnel, if profile or server ask for it; "
        "others fail, or connect without it where their profile has the setting redirect-optional",
    ),
    _right(Right.DNS, "whose sessions may set name servers of this machine"),
    _right(
        Right.DNS_GLOBAL,
        "whose sessions may set name servers that all names are looked up with; others get them for their domains only",
    ),
    _right(Right.KILL_SWITCH, "whose sessions may have a kill switch"),
    _quota(
        "max-sessions",
        "sessions of all users together, as far as session-uids and the files that the service may have open allow it",
        DEFAULT_SESSIONS,
        MAX_SESSIONS,
    ),
    _quota(
        "max-sessions-per-user",
        "sessions that one user has started; root may always have as many as by default",
        DEFAULT_SESSIONS_PER_USER,
        MAX_SESSIONS,
    ),
    _quota(
        "max-profiles-per-user",
        "profiles that one user has, in the configuration service of this program; root as above",
        MAX_PROFILES_PER_USER,
        MAX_PROFILES_PER_USER,
    ),
    _quota(
        "profile-disk-per-user",
        "MiB that one user's persistent profiles take there; root as above",
        PROFILES_ON_DISK_PER_USER,
        PROFILES_ON_DISK,
        mebibytes=True,
    ),
    _quota(
        "profile-memory-per-user",
        "MiB that one user's other profiles take there; root as above",
        PROFILES_IN_MEMORY_PER_USER,
        PROFILES_IN_MEMORY,
        mebibytes=True,
    ),
    Option(
        "connect-timeout",
        Section.SESSIONS,
        kinds.SECONDS,
        "fail a session that is not connected after SECONDS",
        f"{CONNECT_DEADLINE:g}",
        metavar="SECONDS",
        live=True,
    ),
    Option(
        "process-titles",
        Section.SESSIONS,
        kinds.choice("full", "plain"),
        "what ps(1) shows everybody of a session: its number and the names of its profile and owner (full, the "
        "default), or only the number (plain)",
        "full",
        metavar="full|plain",
        live=True,
    ),
    Option(
        "session-uids",
        Section.SESSIONS,
        kinds.UIDS,
        "user ids for sessions, not used by anything else",
        f"{SESSION_UIDS.start}-{SESSION_UIDS.stop - 1}",
        metavar="FIRST-LAST",
    ),
    Option(
        "sandbox",
        Section.SESSIONS,
        kinds.LAYERS,
        "confine sessions by all layers that this machine has, and log which are missing (available, the "
        "default); refuse to start if one is missing (strict); or for tests, use exactly these layers, or none",
        AVAILABLE,
        metavar="available|strict|LAYER,LAYER…",
    ),
    Option(
        "pkcs11-provider",
        Section.SESSIONS,
        kinds.PROVIDERS,
        "let profiles use keys on PKCS#11 tokens: pkcs11-providers NAME loads MODULE. Only sessions that use it "
        "see it and the files and directories PATH that it needs (configuration, files of tokens, /run/pcscd), all "
        "read-only, and are members of GROUP; there may be several",
        unset=(),
        metavar="NAME=MODULE[,PATH...][,group=GROUP]",
        field="pkcs11_providers",
        example='["card=/usr/lib/opensc-pkcs11.so,/run/pcscd"]',
    ),
    Option(
        "stopped-grace",
        Section.SESSIONS,
        kinds.GRACE,
        "a process that is stopped (SIGSTOP, as debuggers do) for SECONDS counts as stuck: a session ends or is "
        "started again, a helper is replaced (default {default}; 0: never)",
        f"{STOPPED_GRACE:g}",
        metavar="SECONDS",
    ),
    Option(
        "look-interval",
        Section.SESSIONS,
        kinds.SECONDS,
        "while there are sessions, look every SECONDS for processes that use a processor all the time, and ask "
        "these whether they still answer",
        f"{LOOK_INTERVAL:g}",
        metavar="SECONDS",
    ),
    Option(
        "public-networks",
        Section.NETWORK,
        kinds.choice("allow", "refuse"),
        "whether tunnels may have public addresses and routes (allow, the default: routes to as much as two /8 of "
        "IPv4 and two /16 of IPv6 for each user), or private ones only (refuse)",
        "allow",
        metavar="allow|refuse",
        live=True,
    ),
    Option(
        "device-names",
        Section.NETWORK,
        kinds.DEVICE_NAMES,
        "names that profiles may give to their devices (dev NAME), with * and ? as in a shell (default "
        "{default}); none that another device has. Firewalls trust devices by their names: list none that a rule of "
        "this machine is about. Where a profile asks for another name, its device is tun0, tun1…, and a notice says so",
        ",".join(device_names.DEFAULT),
        metavar="PATTERN,PATTERN…",
        live=True,
    ),
    Option(
        "dns-backend",
        Section.NETWORK,
        kinds.choice(*get_args(BackEnd)),
        "how name servers are set: by systemd-resolved, by resolvconf, in /etc/resolv.conf, not at all, or as "
        "/etc/resolv.conf is maintained on this machine (auto, the default)",
        "auto",
        metavar="|".join(get_args(BackEnd)),
    ),
    Option(
        "redirect-rules",
        Section.NETWORK,
        kinds.whole(range(1, _MAIN_PRIORITY - PRIORITIES)),
        f"use routing rules of the {PRIORITIES} priorities from PRIORITY on for default routes through tunnels",
        str(FIRST_PRIORITY),
        metavar="PRIORITY",
    ),
    Option(
        "redirect-tables",
        Section.NETWORK,
        kinds.whole(range(_LAST_NAMED_TABLE + 1, 2**31)),
        f"use the {TABLES} routing tables from TABLE on for that",
        str(FIRST_TABLE),
        metavar="TABLE",
    ),
    Option(
        "redirect-mark",
        Section.NETWORK,
        kinds.BIT,
        "mark answers to who connected from outside, so that they do not go through a tunnel, by this one bit of "
        "packets' and connections' marks, which no other program uses",
        f"{MARK:#x}",
        metavar="MARK",
    ),
    Option(
        "while-not-connected",
        Section.NETWORK,
        kinds.choice(*get_args(WhileNotConnected)),
        "what becomes of that traffic while the session is paused, reconnects or has lost its engine: it goes as "
        "without a tunnel (open, the default) or nowhere (closed), where the profile does not choose; always-open and "
        "always-closed, whatever the profile chooses",
        "open",
        metavar="|".join(get_args(WhileNotConnected)),
        live=True,
    ),
    Option(
        "kill-switch-allow",
        Section.NETWORK,
        kinds.NETWORKS,
        "what may leave this machine past all tunnels while a kill switch is on, as 192.0.2.0/24 or "
        "2001:db8::/64; local networks, printers and containers are blocked unless they are listed (default: none)",
        unset=(),
        metavar="NETWORK,NETWORK…",
        example="[]",
        live=True,
    ),
    Option(
        "log-level",
        Section.LOG,
        kinds.whole(range(MAX_LOG_LEVEL + 1)),
        f"log level (default {{default}}; {MAX_LOG_LEVEL} logs everything)",
        str(DEFAULT_LOG_LEVEL),
        metavar=f"0-{MAX_LOG_LEVEL}",
        live=True,
    ),
    Option(
        "log-file",
        Section.LOG,
        kinds.TEXT,
        "log to FILE (stdout: for standard output), in addition to journald or syslog",
        metavar="FILE",
        example='"/var/log/openvpn3-sessionmgr.log"',
    ),
    Option("colour", Section.LOG, kinds.FLAG, "use colours in --log-file", unset=False),
    Option(
        "idle-exit",
        Section.SERVICE,
        kinds.MINUTES,
        "end after MINUTES without a session and without a call (default {default}; 0: never; may be a fraction)",
        "3",
        metavar="MINUTES",
        live=True,
    ),
    Option(
        "bus-wait",
        Section.SERVICE,
        kinds.GRACE,
        "when the bus has gone, sessions go on, and it is joined again when it is back; end after SECONDS without "
        "it and without a session (default {default}; 0: never)",
        f"{BUS_WAIT:g}",
        metavar="SECONDS",
    ),
    Option(
        "configuration",
        Section.SERVICE,
        kinds.choice("auto", "embedded", "external"),
        "which configuration service to use: that of this program (embedded), that of OpenVPN 3 Linux (external), "
        "or the latter if it is installed (auto, the default)",
        "auto",
        metavar="auto|embedded|external",
    ),
    Option(
        "openvpn",
        Section.SERVICE,
        kinds.PATH,
        "path of the openvpn program",
        "/usr/sbin/openvpn",
        metavar="PATH",
        field="engine",
    ),
    Option(
        "state-dir",
        Section.SERVICE,
        kinds.PATH,
        "directory for persistent profiles",
        "/var/lib/openvpn3-sessionmgr",
        metavar="DIR",
    ),
    Option(
        "runtime-dir",
        Section.SERVICE,
        kinds.PATH,
        "directory for other profiles and for clean-up after a crash; on a tmpfs",
        "/run/openvpn3-sessionmgr",
        metavar="DIR",
    ),
    Option(
        "clean-up",
        Section.SERVICE,
        kinds.FLAG,
        "as root, and while the service does not run, end the sessions that an instance which was killed has "
        "left, remove what it has set, and do nothing else",
        unset=False,
        in_files=False,
    ),
    Option(
        "unlock",
        Section.SERVICE,
        kinds.FLAG,
        "end the kill switch of a service that does not run, as root, and do nothing else",
        unset=False,
        in_files=False,
    ),
)

KEYS = {option.name: option for option in OPTIONS if option.in_files}
ONLY_ON_COMMAND_LINE = frozenset(option.name for option in OPTIONS if not option.in_files)
