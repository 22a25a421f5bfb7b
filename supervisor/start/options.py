"""The command line of openvpn3-service-sessionmgr, made from the table of options, and with the files the options."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...policy.configuration.files import read
from ...policy.configuration.option import Option
from ...policy.configuration.options import Options, Setting, combined, default
from ...policy.configuration.table import OPTIONS
from ...policy.exit_status import ExitStatus
from ...policy.sandbox.layers import AVAILABLE
from ..errors import StartError
from ..version import API_VERSION, VERSION

PROGRAM = "openvpn3-service-sessionmgr"

_SAID = 8  # things that are wrong, in one line

CommandLine = Mapping[str, Setting]  # by name of the option


class WrongConfiguration(StartError):
    """The administrator's files are wrong; the text says what is."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = f"; and {len(problems) - _SAID} more (ovpnctl config-check)" if problems[_SAID:] else ""
        super().__init__(f"The configuration is wrong: {'; '.join(problems[:_SAID])}{more}", ExitStatus.CONFIGURATION)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line; the manual page is made from it.  It has no defaults: files come before these."""
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
            parser.add_argument(f"--{option.name}", action="store_true", help=text)
        elif option.kind.separator:
            parser.add_argument(f"--{option.name}", type=_reader(option), metavar=option.metavar, help=text)
        else:
            # All that are given are read together, lest it be a matter of their order what is wrong.
            parser.add_argument(f"--{option.name}", action="append", metavar=option.metavar, help=text)
    return parser


def parse(arguments: Sequence[str] | None = None) -> CommandLine:
    """Read the command line; prints help, version or what is wrong, and raises SystemExit for those."""
    parser = make_parser()
    given = vars(parser.parse_args(arguments))
    chosen: dict[str, Setting] = {}
    for option in OPTIONS:
        value = given.get(option.name.replace("-", "_"))
        if value is None:
            continue
        if isinstance(value, list):
            try:
                value = Setting(option.kind.read(value), f"--{option.name}")
            except ValueError as error:
                parser.error(f"argument --{option.name}: {error}")
        chosen[option.name] = value if isinstance(value, Setting) else Setting(value, f"--{option.name}")
    return chosen


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


def _reader(option: Option) -> Callable[[str], Any]:
    def read_text(text: str) -> Setting:
        try:
            return Setting(option.kind.of_text(text), f"--{option.name} {text}")
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_text
