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
from ..policy.configuration.option import Option, Section
from ..policy.configuration.table import DIRECTORY as CONFIGURATION
from ..policy.exit_status import ExitStatus
from ..supervisor.start.options import PROGRAM, make_parser
from ..supervisor.version import VERSION
from .configuration_doc import of
from .generate import main

_ACCOUNT = "_openvpn"

_SERVICE_DESCRIPTION = f"""\
Owns net.openvpn.v3.sessions on the system bus, as the program of the same name of OpenVPN 3 Linux does, and
net.openvpn.v3.configuration unless another service provides that.  Each VPN session runs in a process of its own, with
its own user id, namespaces and root directory and without privileges, which controls openvpn.

The bus starts it as root when one of its names is called; it builds the sandbox of the sessions, then becomes
{_ACCOUNT} with CAP_NET_ADMIN and CAP_KILL.  It ends when there has been no session for a while; profiles are kept.

It logs to journald, or to syslog if there is no journald, as openvpn3-sessionmgr.

Its options stand in {CONFIGURATION}/config.toml, see openvpn3-sessionmgr.conf(5). Those of the command line
count more: with systemd, use systemctl edit openvpn3-sessionmgr; otherwise, change copies of the two activation files
in /usr/local/share/dbus-1/system-services, which take precedence."""

STATUSES: Mapping[int, str] = {
    ExitStatus.OK: "It was idle, or was asked to end.",
    ExitStatus.USAGE: "The command line is invalid.",
    ExitStatus.ALREADY_RUNNING: "Another instance owns the names or the runtime directory "
    "(without systemd, the bus gets 0).",
    ExitStatus.BUS_LOST: "The bus went away or does not answer, and there is no session.",
    ExitStatus.CANNOT_START: "A privilege, account, directory or program is missing; the message says which.",
    ExitStatus.CONFIGURATION: "The configuration files are wrong; the message, and ovpnctl config-check, say what is.",
    ExitStatus.HELPER_LOST: "A helper and its keeper have ended at once, which takes a start: systemd starts the "
    "service again, which has its sessions.",
    ExitStatus.CONFINEMENT: "Privileges could not be given up.",
    ExitStatus.PROTOCOL: "A process of the service broke the protocol (not used by the main process).",
    ExitStatus.INTERNAL: "Internal error; the log has a traceback.",
}

_SIGNALS = {
    "SIGTERM, SIGINT": "Disconnect all sessions and end; where systemd restarts the service, as SIGUSR2.",
    "SIGUSR2": "End, and leave the sessions to the next instance: they go on meanwhile.",
    "SIGHUP": "Read the configuration files again (openvpn3-sessionmgr.conf(5)).",
}

_FILES = {
    f"{CONFIGURATION}/config.toml, {CONFIGURATION}/config.d/*.toml": "Its options (openvpn3-sessionmgr.conf(5)).",
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
        _section(
            "SEE ALSO", ".BR ovpnctl (1),\n.BR openvpn3\\-sessionmgr.conf (5),\n.BR openvpn (8),\n.BR dbus\\-daemon (1)"
        ),
    )


_CONFIGURATION = f"""\
The options of openvpn3-service-sessionmgr(8), as keys of the same names in TOML: {CONFIGURATION}/config.toml, and
after it the files config.d/*.toml of that directory, in the order of their names. The last file that has a key wins, as
a whole; the command line counts more than all files, and where nobody has chosen anything there is a default. Keys
stand at the top, in no table.

The files and their directories have to belong to root, and nobody else may write them; links are not followed.
Everybody may read them, and the service has to, to read them again while it runs.

When something is wrong, a key that there is not or a value that cannot be, the service does not start: it ends with
the exit status {ExitStatus.CONFIGURATION:d}, and its message, in the journal or system log, says what is wrong in
which file. ovpnctl says it, too, when the bus could not start the service; ovpnctl config-check at any time.

It reads them when it starts, and again at SIGHUP (systemctl reload openvpn3-sessionmgr); when something is wrong then,
it goes on with what it had, and its log says so. Keys that are marked so are taken at once, for what is asked for from
then on: no session that is connected loses what it has. Its log names those that have changed and are taken when the
service starts the next time."""

_EXAMPLE = """\
# Laptops: who sits there, and a group of administrators.
redirect = ["seat", "@vpn-admins"]
dns-global = ["seat", "@vpn-admins"]

max-sessions-per-user = 3
idle-exit = 10
pkcs11-provider = ["card=/usr/lib/opensc-pkcs11.so,/run/pcscd"]"""

_FORMS = {
    "flag": "true or false",
    "number": "a number",
    "text": "a text",
    "list": "a text, or a list of texts",
}


def configuration_manual() -> str:
    """openvpn3-sessionmgr.conf(5)."""
    sections = [
        _section(str(section).upper(), _rows((_key(option), _key_help(option)) for option in of(section)))
        for section in Section
    ]
    return _page(
        "openvpn3-sessionmgr.conf",
        5,
        "configuration of the VPN session manager",
        _section(
            "SYNOPSIS", f"{_italic(f'{CONFIGURATION}/config.toml')}\n.br\n{_italic(f'{CONFIGURATION}/config.d/*.toml')}"
        ),
        _section("DESCRIPTION", _paragraphs(_CONFIGURATION)),
        *sections,
        _section("EXAMPLE", f".nf\n{_bare(_EXAMPLE)}\n.fi"),
        _section("SEE ALSO", f".BR {_bare(PROGRAM)} (8),\n.BR ovpnctl (1)"),
    )


def _key(option: Option) -> str:
    return f"{_bold(option.name)} = {_italic(option.metavar or 'BOOLEAN')}"


def _key_help(option: Option) -> str:
    form = _FORMS[option.kind.form] if option.kind.separator else "a list of texts"
    return f"{_sentence(option.text)} {_sentence(form)}{' Taken at once.' if option.live else ''}"


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
    return _sentence((action.help or "").replace("%%", "%"))


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


PAGES = [
    (f"docs/{PROGRAM}.8", service_manual),
    ("docs/openvpn3-sessionmgr.conf.5", configuration_manual),
    ("docs/ovpnctl.1", ovpnctl_manual),
]

if __name__ == "__main__":
    sys.exit(main(generated=PAGES))
