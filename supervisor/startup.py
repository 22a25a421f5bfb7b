"""From root to an ordinary process with two helpers: what must happen before anything is read from anybody."""

import os
import pwd
import stat
from pathlib import Path

import msgspec

from ..ipc.exitcodes import Exit
from ..ipc.helpers import Setup
from ..policy.layers import Layer
from . import cgroups, privileges, sandbox
from .errors import StartError
from .log import Log
from .log_destinations import open_log
from .options import Options
from .providers import Providers
from .sandbox import Sandbox, Trial
from .sessions.uids import check_unused
from .workers.helpers import Helpers, Starting

_OTHERS_READ = 0o022
_NOBODY_ELSE_READS = 0o077


class Prepared(msgspec.Struct, frozen=True):
    """What the privileged part of the start leaves to the rest."""

    options: Options
    account: pwd.struct_passwd
    log: Log
    helpers: Helpers
    session_uids: range  # without the resolver's
    engine_was_there: bool  # the workers' root directory has the engine in it
    sandbox: Sandbox
    providers: Providers


class Start:
    """The privileged part of the start, in two steps: what runs beside this process, and what is done with it."""

    def __init__(self, options: Options) -> None:
        """Make directories, open the log, and start two processes: the helpers', and one that tries the sandbox.

        Raises StartError.
        """
        privileges.check_start()
        os.umask(_OTHERS_READ)  # sessions have to read the root directory that the helpers build for them
        self._options = options
        self._account = privileges.service_account()
        check_unused(options.session_uids)
        _make_directory(options.runtime_dir, self._account)
        _make_directory(options.state_dir, self._account)
        for name in ("profiles", "sessions", "devices", "template"):
            _make_directory(options.runtime_dir / name, self._account)
        _make_directory(options.state_dir / "profiles", self._account)
        self._log = open_log(options.log_level, options.log_file, options.colour)
        self._missing: dict[Layer, str] = {}
        self._providers = Providers(options.pkcs11_providers)
        cgroup = _prepare_cgroup(options, self._missing)
        try:
            self._helpers = Starting(cgroup)
            layers = sandbox.candidates(options.sandbox) - self._missing.keys()
            self._trial = Trial(layers, options.session_uids[1:], self._providers.groups)
        except OSError as error:
            raise _no_helpers(error) from error
        os.close(cgroup)

    def finish(self) -> Prepared:
        """Choose the sandbox, tell the helpers, and give up root.  Raises StartError."""
        options, providers = self._options, self._providers
        confined = sandbox.choose(options.sandbox, self._missing, self._trial.result())
        engine = str(options.engine) if options.engine.is_file() else ""
        setup = Setup(
            engine=engine,
            directory=str(options.runtime_dir / "template"),
            first_uid=options.session_uids[0],
            last_uid=options.session_uids[-1],
            layers=confined.layers,
            filters=confined.filters,
            providers=providers.staged,
        )
        try:
            helpers = self._helpers.set_up(setup)
        except OSError as error:
            raise _no_helpers(error) from error
        os.umask(_NOBODY_ELSE_READS)
        privileges.drop(self._account)
        self._log.start()
        session_uids = options.session_uids[1:]
        return Prepared(options, self._account, self._log, helpers, session_uids, bool(engine), confined, providers)


def _no_helpers(error: OSError) -> StartError:
    return StartError(f"The helper processes cannot be started: {error.strerror}", Exit.CANNOT_START)


def _prepare_cgroup(options: Options, missing: dict[Layer, str]) -> int:
    """A descriptor of the group that sessions get theirs in; of something else where there is none, or none wanted."""
    if isinstance(options.sandbox, str) or Layer.CGROUP in options.sandbox:
        try:
            return cgroups.prepare()
        except (OSError, cgroups.NotDelegated) as error:
            missing[Layer.CGROUP] = str(error)
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


def _make_directory(directory: Path, account: pwd.struct_passwd) -> None:
    """Make sure of a directory that only the service's account can enter.

    Raises StartError, also where a link, a file or somebody's directory is in its place: root must not be made to
    give away something else.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _take_over(descriptor, directory, account)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = "it is a symbolic link" if directory.is_symlink() else error.strerror
        raise StartError(f"The directory {directory} cannot be used: {reason}", Exit.CANNOT_START) from error


def _take_over(descriptor: int, directory: Path, account: pwd.struct_passwd) -> None:
    found = os.fstat(descriptor)
    owner = found.st_uid
    if owner not in (0, account.pw_uid):
        raise StartError(
            f"The directory {directory} belongs to user {owner}; remove it, or choose another",
            Exit.CANNOT_START,
        )
    # Never /run itself, or whatever else a slip of the pen may name.
    if owner == 0 and os.listdir(descriptor):
        raise StartError(
            f"The directory {directory} is root's, and not empty; choose another, or if it is this service's: "
            f"chown -R {account.pw_name}: {directory}",
            Exit.CANNOT_START,
        )
    # Not without need: each takes a capability.
    if stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
        os.fchmod(descriptor, stat.S_IRWXU)
    if (found.st_uid, found.st_gid) != (account.pw_uid, account.pw_gid):
        os.fchown(descriptor, account.pw_uid, account.pw_gid)
