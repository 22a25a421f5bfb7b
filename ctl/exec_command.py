"""exec: a command with the VPN as its only network."""

import sys

import click

from .arguments import file, seconds, text
from .exits import help_epilog


@click.command(
    "exec",
    epilog=help_epilog(),
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="Run a command with the VPN as its only network.",
)
@click.option("--afterwards", type=click.Choice(["keep", "disconnect"]), help="What becomes of the session.")
@click.option("--timeout", type=seconds, metavar="SECONDS", help="Fail if not connected after SECONDS.")
@click.option("--credentials-file", type=file, metavar="FILE", help="File with user name and password, one a line.")
@click.option("-q", "--quiet", is_flag=True, help="Print no progress, and no warnings.")
@click.argument("name", type=text)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_command(
    name: str,
    command: tuple[str, ...],
    afterwards: str | None,
    timeout: float | None,
    credentials_file: str | None,
    quiet: bool,
) -> None:
    """Run COMMAND with the VPN of NAME as its only network.

    NAME is a session (its profile, device or D-Bus path), or a profile or file that a session is started of.  While
    commands run with it, nobody else's traffic goes through it.  Where it is not connected, the command has no network,
    never this machine's.  A second command with the same NAME is in the same network.

    COMMAND runs as you, with your environment, terminal and files, and takes the place of ovpnctl: signals go to it,
    and its exit status is that of ovpnctl; 127 if it is not found, 126 if it cannot be run.  It gains no privilege, by
    set-uid programs neither.  Names are looked up with the VPN's name servers only.  The system bus is not there.

    When the last command has ended, a session that ovpnctl has started for it is disconnected, and one that was there
    is this machine's again; --afterwards chooses.

    User input that a session needs is asked for at the terminal only.
    """
    from .beside import run_beside
    from .exec_keeper import keep

    sys.exit(
        run_beside(list(command), lambda told: keep(told, name, afterwards, timeout, credentials_file, quiet=quiet))
    )
