"""The start as root: directories, log, sandbox and helpers, before any input is read; then root is given up."""

import os
import pwd
import signal

import msgspec

from ...ipc.helpers import Setup
from ...policy.configuration.options import Options
from ...policy.exit_status import ExitStatus
from ...policy.machine.dns_backend import Choice, choose
from ...policy.rights import REFUSE
from ...policy.sandbox.layers import Layer
from ..errors import StartError
from ..logging.destinations import open_log
from ..logging.log import Log
from ..network import tun
from ..network.default_route import ipv6_settings
from ..sandbox import cgroups, choice
from ..sandbox.choice import Sandbox, TrialResult
from ..sandbox.kept_trial import KeptTrial
from ..sandbox.pkcs11_providers import ListedProviders, join_groups
from ..sandbox.trial import Trial
from ..sessions.uids import check_unused
from ..workers.helpers import Helpers, Starting
from . import descriptors, directories, privileges
from .options import CommandLine

_OTHERS_READ = 0o022
_NOBODY_ELSE_READS = 0o077
_NOBODY = Choice("none", "no session may set any")


class Prepared(msgspec.Struct, frozen=True):
    """The result of the privileged part of the start."""

    options: Options
    command_line: CommandLine
    account: pwd.struct_passwd
    log: Log
    helpers: Helpers
    session_uids: range  # without the resolver's
    engine_was_there: bool  # the engine is in the workers' root directory
    sandbox: Sandbox
    providers: ListedProviders
    descriptors: int  # files that this process may have open
    tun_directory: int | None  # see network/tun.py
    ipv6_settings: int | None  # see network/default_route/ipv6_settings.py
    dns: Choice  # what sets name servers


class Start:
    """The privileged part of the start, in two steps; between them, processes that it has started do their part."""

    def __init__(self, options: Options, command_line: CommandLine) -> None:
        """Make directories, open the log, and start two processes: the helpers', and one that tries the sandbox.

        If what such a trial has found is known, there is none, and the helpers need not wait for it.

        Raises StartError.
        """
        privileges.check_start()
        os.umask(_OTHERS_READ)  # sessions have to read the root directory that the helpers build for them
        self._options, self._command_line = options, command_line
        self._account = privileges.service_account()
        check_unused(options.session_uids)
        directories.make(options.runtime_dir, ("profiles", "sessions", "devices", "names"), self._account)
        directories.make(options.state_dir, ("profiles",), self._account)
        self._log = _open_log(options, self._account)
        self._tun_directory = tun.make_own_node()
        self._ipv6_settings = ipv6_settings.take()
        self._dns = _NOBODY if options.dns == (REFUSE,) else choose(options.dns_backend)
        self._missing: dict[Layer, str] = {}
        cgroup = _prepare_cgroup(options, self._account, self._missing)
        join_groups(options.pkcs11_providers)
        self._providers = ListedProviders(options.pkcs11_providers)
        try:
            self._helpers = Starting(cgroup)
            layers = choice.candidates(options.sandbox) - self._missing.keys()
            tried = (layers, options.session_uids[1:], self._providers.groups)
            self._kept = KeptTrial(options.runtime_dir, self._account, *tried)
            self._found = self._kept.recall()
            self._trial = None if self._found else Trial(*tried)
        except OSError as error:
            raise _no_helpers(error) from error
        os.close(cgroup)
        if self._found:
            self._set_up(self._found)

    def _set_up(self, found: TrialResult) -> None:
        """Choose the sandbox, and tell the helpers, which import their modules from then on.  Raises StartError."""
        options = self._options
        self._confined = choice.choose(options.sandbox, self._missing, found)
        self._engine_was_there = options.engine.is_file()
        setup = Setup(
            engine=str(options.engine) if self._engine_was_there else "",
            directory=str(options.runtime_dir),
            first_uid=options.session_uids[0],
            last_uid=options.session_uids[-1],
            layers=self._confined.layers,
            filters=self._confined.filters,
            providers=self._providers.staged,
            name_setter=self._dns.name_setter,
            bus=os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", ""),
            stopped_grace=options.stopped_grace,
        )
        try:
            self._told = self._helpers.set_up(setup)
        except OSError as error:
            raise _no_helpers(error) from error

    def finish(self) -> Prepared:
        """Wait for the trial, if there is one, and give up root.  Raises StartError."""
        options = self._options
        if self._trial:
            found = self._trial.result()
            self._set_up(found)
            self._kept.keep(found)
        limit = descriptors.raise_limit()  # the helpers have theirs already
        os.umask(_NOBODY_ELSE_READS)
        privileges.drop(self._account)
        # Before the first thread.  A handler would interrupt whatever the thread does, and the kernel would leave the
        # registers on its stack, perhaps with a part of a key or password (workers/reap.py and administration.py read
        # them instead).
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGHUP})
        self._log.start()
        session_uids = options.session_uids[1:]
        return Prepared(
            options=options,
            command_line=self._command_line,
            account=self._account,
            log=self._log,
            helpers=self._told,
            session_uids=session_uids,
            engine_was_there=self._engine_was_there,
            sandbox=self._confined,
            providers=self._providers,
            tun_directory=self._tun_directory,
            ipv6_settings=self._ipv6_settings,
            dns=self._dns,
            descriptors=limit,
        )


def _no_helpers(error: OSError) -> StartError:
    return StartError(f"The helper processes cannot be started: {error.strerror}", ExitStatus.CANNOT_START)


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
    """A descriptor of the group in which sessions get theirs; of /dev/null if there is none, or the layer is off."""
    if isinstance(options.sandbox, str) or Layer.CGROUP in options.sandbox:
        try:
            return cgroups.prepare(account)
        except (OSError, cgroups.NotDelegated) as error:
            missing[Layer.CGROUP] = str(error)
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
