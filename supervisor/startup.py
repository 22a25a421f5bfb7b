"""From root to an ordinary process with two helpers: what must happen before anything is read from anybody."""

import os
import pwd
from dataclasses import dataclass

from ..ipc.exitcodes import Exit
from ..ipc.helpers import pack_providers
from ..policy.layers import Layer
from . import cgroups, directories, privileges, sandbox
from .accounts import service_account
from .errors import StartError
from .log import Log
from .log_destinations import open_log
from .options import Options
from .providers import Providers, join_groups
from .sandbox import Sandbox
from .sessions.uids import check_unused
from .workers.helpers import Helpers, start_helpers

_OTHERS_READ = 0o022
_NOBODY_ELSE_READS = 0o077


@dataclass(frozen=True)
class Prepared:
    """What the privileged part of the start leaves to the rest."""

    options: Options
    account: pwd.struct_passwd
    log: Log
    helpers: Helpers
    session_uids: range  # without the resolver's
    engine_was_there: bool  # the workers' root directory has the engine in it
    sandbox: Sandbox
    providers: Providers


def prepare(options: Options) -> Prepared:
    """Make directories, open the log, start the helpers, and give up root.  Raises StartError."""
    privileges.check_start()
    os.umask(_OTHERS_READ)  # sessions have to read the root directory that the helpers build for them
    account = service_account()
    check_unused(options.session_uids)
    directories.make(options.runtime_dir, ("profiles", "sessions", "devices"), account)
    directories.make(options.state_dir, ("profiles",), account)
    log = _open_log(options, account)
    missing: dict[Layer, str] = {}
    cgroup = _prepare_cgroup(options, account, missing)
    engine = str(options.engine) if options.engine.is_file() else ""
    join_groups(options.pkcs11_providers)
    providers = Providers(options.pkcs11_providers)
    confined = sandbox.choose(options.sandbox, missing, options.session_uids[1:], providers.groups)
    try:
        packed = pack_providers(providers.staged)
        helpers = start_helpers(engine, options.runtime_dir, options.session_uids, confined, cgroup, packed)
    except OSError as error:
        raise StartError(f"The helper processes cannot be started: {error.strerror}", Exit.CANNOT_START) from error
    os.close(cgroup)
    os.umask(_NOBODY_ELSE_READS)
    privileges.drop(account)
    log.start()
    return Prepared(options, account, log, helpers, options.session_uids[1:], bool(engine), confined, providers)


def _open_log(options: Options, account: pwd.struct_passwd) -> Log:
    """The log; its file may be in a directory that only root may write to, or only the account."""
    try:
        return open_log(options.log_level, options.log_file, options.colour)
    except StartError as error:
        if not isinstance(error.__cause__, PermissionError):
            raise
    with privileges.acting_as(account):
        return open_log(options.log_level, options.log_file, options.colour)


def _prepare_cgroup(options: Options, account: pwd.struct_passwd, missing: dict[Layer, str]) -> int:
    """A descriptor of the group that sessions get theirs in; of something else where there is none, or none wanted."""
    if isinstance(options.sandbox, str) or Layer.CGROUP in options.sandbox:
        try:
            return cgroups.prepare(account)
        except (OSError, cgroups.NotDelegated) as error:
            missing[Layer.CGROUP] = str(error)
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
