"""The command line of openvpn3-service-sessionmgr, made from the table of options, and with the files the options."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...policy.configuration.files import read
from ...policy.configuration.option import Option
from ...policy.configuration.options import Options, Setting, combined, default
from ...policy.configuration.table import OPTIONS
from ...policy.exit_status import ExitStatus
from ...policy.sandbox.layers import AVAILABLE
from ..errors import StartError
from ..version import API_VERSION, VERSION

if TYPE_CHECKING:
    import argparse

PROGRAM = "openvpn3-service-sessionmgr"

_SAID = 8  # things that are wrong, in one line

CommandLine = Mapping[str, Setting]  # by name of the option


class WrongConfiguration(StartError):
    """The administrator's files are wrong; the text says what is."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = f"; and {len(problems) - _SAID} more (ovpnctl config-check)" if problems[_SAID:] else ""
        super().__init__(f"The configuration is wrong: {'; '.join(problems[:_SAID])}{more}", ExitStatus.CONFIGURATION)


def make_parser() -> "argparse.ArgumentParser":
    """The parser of the command line; the manual page is made from it.  It has no defaults: files come before these."""
    import argparse

    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Session manager for OpenVPN 3 Linux. Started by D-Bus as root, whose privileges it gives up.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {VERSION} (D-Bus API {API_VERSION})")
    for option in OPTIONS:
        text = option.text.replace("%", "%%")
        if option.kind.form == "flag":
            parser.add_argument(f"--{option.name}", dest=option.name, action="store_true", help=text)
        else:
            parser.add_argument(
                f"--{option.name}", dest=option.name, action="append", metavar=option.metavar, help=text
            )
    return parser


def parse(arguments: Sequence[str] | None = None) -> CommandLine:
    """Read the command line; prints help, version or what is wrong, and raises SystemExit for those."""
    arguments = sys.argv[1:] if arguments is None else arguments
    given = _plain(arguments)
    if given is None:
        given = vars(make_parser().parse_args(arguments))
    chosen: dict[str, Setting] = {}
    for option in OPTIONS:
        if option.name in given:
            try:
                chosen[option.name] = _setting(option, given[option.name])
            except ValueError as error:
                make_parser().error(f"argument --{option.name}: {error}")
    return chosen


def _plain(arguments: Sequence[str]) -> Mapping[str, Any] | None:
    """As the parser gives them, if all are --NAME=VALUE or a flag; the parser would take 6 ms of the start."""
    flags = {option.name: option.kind.form == "flag" for option in OPTIONS}
    given: dict[str, Any] = {}
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in flags or flags[name] is bool(equals):
            return None
        if flags[name]:
            given[name] = True
        else:
            given.setdefault(name, []).append(value)
    return given


def _setting(option: Option, given: Any) -> Setting:
    """What is given for an option: its texts, or True for a flag.  Raises ValueError."""
    if given is True:
        return Setting(True, f"--{option.name}")
    if not option.kind.separator:
        # All are read together, lest it be a matter of their order what is wrong.
        return Setting(option.kind.read(given), f"--{option.name}")
    return [Setting(option.kind.of_text(text), f"--{option.name} {text}") for text in given][-1]


def options(command_line: CommandLine) -> Options:
    """The options in force, with what the administrator's files say now.  Raises WrongConfiguration.

    To clean up, what is right in the files is enough, and no layer of the sandbox is necessary: it starts no session.
    """
    found = read(directory(command_line))
    wrong = WrongConfiguration(found.problems) if found.problems else None
    if "clean-up" in command_line:
        if wrong is not None:
            print(f"{PROGRAM}: {wrong}; the rest counts", file=sys.stderr)
        return combined({**command_line, "sandbox": Setting(AVAILABLE, "--clean-up")}, found.settings)
    if wrong is not None:
        raise wrong
    return combined(command_line, found.settings)


def directory(command_line: CommandLine) -> Path:
    """Where the administrator's files are."""
    [option] = [one for one in OPTIONS if one.name == "config-dir"]
    chosen = command_line.get(option.name)
    found: Path = chosen.value if chosen else default(option)
    return found
