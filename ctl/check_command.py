"""check: what a session would make of a profile, without importing it."""

import sys

import click

from .arguments import file
from .exits import CommandExit
from .run import print_json, put
from .verdicts import asks_credentials, verdict_json, verdict_text


@click.command("check", short_help="Say what a session would make of a profile, without importing it.")
@click.argument("source", type=file, metavar="FILE")
@asks_credentials
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
def check(source: str, ask_credentials: bool, as_json: bool) -> None:
    """Say what a session would make of a profile, without importing it; - for standard input.

    Neither the service nor the bus is asked.  Which PKCS#11 providers there are, and whether certificates and keys are
    good, is seen only when a session starts.  The exit status is 3 if none could be started.

    \b
    --json prints
      usable (whether a session can be started),
      refused [{option, line, reason}] (why not),
      ignored [{option, lines [], reason}] (what sessions leave out or change),
      warnings [{option, line, reason}],
      asks [] (what has to be typed at the start).
    option and line are null where something is about the whole profile.
    """
    from .profile_file import CREDENTIALS, read_profile

    verdict = read_profile(source, ask=CREDENTIALS if ask_credentials else ()).verdict()
    if as_json:
        print_json(verdict_json(verdict))
    else:
        put(verdict_text("The profile" if source == "-" else source, verdict))
    if verdict.refused:
        sys.exit(CommandExit.REFUSED)
