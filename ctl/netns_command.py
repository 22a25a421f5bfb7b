"""netns: a session's device in a named network namespace, for services."""

import click

from .arguments import file, seconds, text
from .exits import help_epilog
from .run import on_bus


def _namespace(value: str) -> str:
    """Name of a network namespace, as ip-netns(8) takes it.  Raises BadParameter."""
    if "/" in text(value) or value.startswith("."):
        raise click.BadParameter(f"{value!r} is no name of a network namespace: it has a slash, or begins with a dot.")
    return value


@click.command("netns", epilog=help_epilog(), short_help="Have a VPN in a named network namespace: for systemd.")
@click.option("--timeout", type=seconds, metavar="SECONDS", help="Fail if not connected after SECONDS.")
@click.option("--credentials-file", type=file, metavar="FILE", help="File with user name and password, one a line.")
@click.option("-q", "--quiet", is_flag=True, help="Print no progress, and no warnings.")
@click.argument("namespace", type=_namespace)
@click.argument("name", type=text)
def netns(namespace: str, name: str, timeout: float | None, credentials_file: str | None, quiet: bool) -> None:
    """Have the VPN of NAME in the network namespace NAMESPACE, and stay until it ends.

    For root, and root's own sessions and profiles; NAME is as for exec.  The namespace is one of ip-netns(8), that is
    /run/netns/NAMESPACE, and has to be there.  The session's device is moved there, and its addresses and routes, the
    default route among them, are set there: services with NetworkNamespacePath=/run/netns/NAMESPACE have the VPN,
    nobody else has.  The VPN's name servers are written to /etc/netns/NAMESPACE/resolv.conf, unless that is a file of
    yours.

    systemd is told when all is set (sd_notify).  SIGTERM disconnects the session, and so does the end of the namespace.
    The exit status is 0 after a signal, or if the session was disconnected by hand.
    """
    from .credentials import read_credentials
    from .netns_keeper import NetnsKeeper

    credentials = read_credentials(credentials_file)
    on_bus(lambda bus: NetnsKeeper(bus, namespace, name, quiet=quiet).work(timeout, credentials))
