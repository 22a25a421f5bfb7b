"""ovpnctl, the command line of the session manager."""

import sys
from typing import IO

import click

from .check_command import check
from .cleanup_command import cleanup
from .config_acl import config_acl
from .config_check import config_check
from .config_commands import config_import, config_remove, configs_list
from .config_credentials import config_credentials
from .config_dump import config_dump
from .config_manage import config_manage
from .doctor_command import doctor
from .down_command import down
from .exec_command import exec_command
from .exits import CommandError, CommandExit, help_epilog
from .inspect_command import inspect_session
from .log_command import log
from .netns_command import netns
from .run import say, silence
from .session_acl import session_acl
from .session_auth import session_auth
from .session_commands import session_manage, session_stats, sessions_list
from .session_keep import session_keep
from .session_start import session_start
from .status_command import status
from .unlock_command import unlock
from .up_command import up
from .why_command import why


@click.group(epilog=help_epilog(), context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="openvpn3-sessionmgr", message="%(prog)s %(version)s")
def cli() -> None:
    """Manage VPN sessions and their configuration profiles.

    The subcommands are those of openvpn3, plus check, cleanup, config-check, config-credentials, doctor, down, exec,
    inspect, netns, session-keep, status, unlock, up and why.

    Commands about a session take the name of its profile, its D-Bus path or its network device; root those of all
    users' sessions.  At a terminal the beginning of a name suffices where that is the only one, but never for what ends
    or changes something.  A name that sessions of several owners have is refused, with a list of them.

    Results go to standard output, messages to standard error.
    """


for command in (
    up,
    down,
    check,
    cleanup,
    config_check,
    config_import,
    configs_list,
    config_manage,
    config_acl,
    config_dump,
    config_credentials,
    config_remove,
    session_start,
    session_keep,
    sessions_list,
    session_manage,
    session_acl,
    session_auth,
    session_stats,
    doctor,
    exec_command,
    netns,
    status,
    inspect_session,
    unlock,
    why,
    log,
):
    cli.add_command(command)


def main() -> None:
    """Entry point of the console script."""
    try:
        cli(prog_name="ovpnctl")
    except CommandError as error:
        say(str(error))
        sys.exit(error.status)
    except OSError as error:  # of what click itself writes: help, and what is wrong with the command line
        for stream in (sys.stdout, sys.stderr):
            if not _flushes(stream):
                silence(stream)
        say(f"Error: {error.strerror}")
        sys.exit(CommandExit.OTHER)


def _flushes(stream: IO[str] | None) -> bool:
    try:
        if stream:
            stream.flush()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
