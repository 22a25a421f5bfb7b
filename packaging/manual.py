"""Write the manual pages of the two programs from the definitions of their command lines.

    python -m openvpn3_sessionmgr.packaging.manual [--check]

Options as for `packaging/generate.py`.  This directory has no __init__.py: as a package it would, for tools run
in the checkout, stand in for PyPI's of the same name.
"""

import argparse
import inspect
import sys
from collections.abc import Iterable, Mapping

import click

from ..ctl import exits
from ..ctl.__main__ import cli
from ..policy.exit_status import ExitStatus
from ..supervisor.start.options import PROGRAM, make_parser
from ..supervisor.version import VERSION
from .generate import main

_ACCOUNT = "_openvpn"

_SERVICE_DESCRIPTION = f"""\
Owns net.openvpn.v3.sessions on the system bus, as the program of the same name of OpenVPN 3 Linux does, and
net.openvpn.v3.configuration unless another service provides that.  Each VPN session runs in a process of its own, with
its own user id, namespaces and root directory and without privileges, which controls openvpn.

The bus starts it as root when one of its names is called; it builds the sandbox of the sessions, then becomes
{_ACCOUNT} with CAP_NET_ADMIN and CAP_KILL.  It ends when there has been no session for a while; profiles are kept.

It logs to journald, or to syslog if there is no journald, as openvpn3-sessionmgr.

To start it with other options: with systemd, use systemctl edit openvpn3-sessionmgr; otherwise, change copies of the
two activation files in /usr/local/share/dbus-1/system-services, which take precedence."""

STATUSES: Mapping[int, str] = {
    ExitStatus.OK: "It was idle, or was asked to end.",
    ExitStatus.USAGE: "The command line is invalid.",
    ExitStatus.ALREADY_RUNNING: "Another instance owns the names or the runtime directory "
    "(without systemd, the bus gets 0).",
    ExitStatus.BUS_LOST: "The bus went away or does not answer, and there is no session.",
    ExitStatus.CANNOT_START: "A privilege, account, directory or program is missing; the message says which.",
    ExitStatus.CONFINEMENT: "Privileges could not be given up.",
    ExitStatus.PROTOCOL: "A process of the service broke the protocol (not used by the main process).",
    ExitStatus.INTERNAL: "Internal error; the log has a traceback.",
}

_SIGNALS = {"SIGTERM, SIGINT, SIGHUP": "Disconnect all sessions and end."}

_FILES = {
    "/run/openvpn3-sessionmgr": "Profiles that are not persistent, and records for the clean-up after a crash.",
    "/var/lib/openvpn3-sessionmgr": "Persistent profiles, and why sessions failed.",
}

_ENVIRONMENT = {"DBUS_SYSTEM_BUS_ADDRESS": "The bus to use instead of the system's."}


def service_manual() -> str:
    """openvpn3-service-sessionmgr(8)."""
    options = [(_argparse_names(action), _argparse_help(action)) for action in make_parser()._actions]
    return _page(
        PROGRAM,
        8,
        "VPN session manager",
        _section("SYNOPSIS", f".B {_bare(PROGRAM)}\n[OPTIONS]"),
        _section("DESCRIPTION", _paragraphs(_SERVICE_DESCRIPTION)),
        _section("OPTIONS", _rows(options)),
        _section("EXIT STATUS", _rows((_bold(str(int(number))), text) for number, text in STATUSES.items())),
        _section("SIGNALS", _rows((_bold(name), text) for name, text in _SIGNALS.items())),
        _section("ENVIRONMENT", _rows((_bold(name), text) for name, text in _ENVIRONMENT.items())),
        _section("FILES", _rows((_italic(name), text) for name, text in _FILES.items())),
        _section("SEE ALSO", ".BR ovpnctl (1),\n.BR openvpn (8),\n.BR dbus\\-daemon (1)"),
    )


def ovpnctl_manual() -> str:
    """ovpnctl(1)."""
    commands = []
    for name, command in sorted(cli.commands.items()):
        options = [(_click_names(one), _click_help(one)) for one in command.params if isinstance(one, click.Option)]
        usage = " ".join([_bold(f"ovpnctl {name}"), "[OPTIONS]", *_arguments(command)])
        commands.append(f".SS {_bare(name)}\n{usage}\n.PP\n{_paragraphs(command.help)}\n{_rows(options)}")
    return _page(
        "ovpnctl",
        1,
        "manage VPN sessions and their configuration profiles",
        _section(
            "SYNOPSIS", f"{_bold('ovpnctl')} COMMAND [OPTIONS]\n.br\n{_bold('ovpnctl')} COMMAND {_bold('--help')}"
        ),
        _section("DESCRIPTION", _paragraphs(cli.help)),
        _section("COMMANDS", "\n".join(commands)),
        _section(
            "EXIT STATUS",
            _rows((_bold(str(int(number))), _sentence(text)) for number, text in exits.MEANING.items()),
        ),
        _section("SEE ALSO", f".BR {_bare(PROGRAM)} (8),\n.BR openvpn3 (1)"),
    )


# Names and help of an option, from each of the two libraries


def _argparse_names(action: argparse.Action) -> str:
    value = "|".join(map(str, action.choices)) if action.choices and not action.metavar else action.metavar
    if action.nargs == 0:
        value = None
    return _names(action.option_strings, str(value) if value else "")


def _argparse_help(action: argparse.Action) -> str:
    return _sentence((action.help or "").replace("%(default)s", str(action.default)))


def _click_names(option: click.Option) -> str:
    value = ""
    if not option.is_flag:
        choices = option.type.choices if isinstance(option.type, click.Choice) else ()
        value = option.metavar or "|".join(map(str, choices)) or option.type.name.upper()
    return _names([*option.opts, *option.secondary_opts], value)


def _click_help(option: click.Option) -> str:
    return _sentence(option.help or "")


def _arguments(command: click.Command) -> list[str]:
    shown = []
    for one in command.params:
        if isinstance(one, click.Argument):
            name = one.metavar or str(one.name).upper()
            shown.append(_bare(name if one.required else f"[{name}]"))
    return shown


def _names(names: Iterable[str], value: str) -> str:
    shown = ", ".join(_bold(name) for name in names)
    return f"{shown} {_italic(value)}" if value else shown


# roff, man(7)


def _page(name: str, section: int, what: str, *sections: str) -> str:
    head = f'.TH {_bare(name.upper())} {section} "" "openvpn3\\-sessionmgr {VERSION}"\n'
    warning = ".\\\" Generated from the command line's definition; do not edit.\n"
    return f"{warning}{head}.SH NAME\n{_bare(name)} \\- {_bare(what)}\n{''.join(sections)}"


def _section(title: str, body: str) -> str:
    return f".SH {title}\n{body}\n"


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f".TP\n{term}\n{_bare(text)}" for term, text in rows)


def _paragraphs(text: str | None) -> str:
    # A backspace on a line of its own is click's sign not to wrap what follows.
    cleaned = inspect.cleandoc(text or "").replace("\b\n", "")
    return "\n.PP\n".join(_bare(part) for part in cleaned.split("\n\n"))


def _sentence(text: str) -> str:
    """A help text as a sentence: it may begin with a small letter and lack the full stop."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "…")) else f"{text}."


def _bare(text: str) -> str:
    """Text escaped for roff; no line begins with a character that would make it a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "\\[u2026]")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped.splitlines())


def _bold(text: str) -> str:
    return f"\\fB{_bare(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_bare(text)}\\fR"


PAGES = [(f"docs/{PROGRAM}.8", service_manual), ("docs/ovpnctl.1", ovpnctl_manual)]

if __name__ == "__main__":
    sys.exit(main(generated=PAGES))
