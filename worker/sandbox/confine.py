"""Confining a process after fork(2), so that it can do nothing but its task.

The order is forced: the private directory needs CAP_SYS_ADMIN, the bounding set CAP_SETPCAP, the change of user
CAP_SETUID, and each is gone afterwards; Landlock would forbid mounting; and it and seccomp want no_new_privs.  Nothing
has been read from anybody when this runs.
"""

import os
import signal
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import _prctl
import msgspec
import prctl
from msgspec.structs import replace

from ...ipc.helpers import Filters
from ...kernel import landlock, privileges, process
from ...kernel.privileges import Step
from ...policy.sandbox.confinement import (
    HELPER_RLIMITS,
    NAME_SETTER_FILES,
    RESOLVER_FILES,
    SPAWNER_CAPABILITIES,
    WORKER_FILES,
    WORKER_RLIMITS,
    Files,
)
from ...policy.sandbox.layers import Layer
from . import template
from .pkcs11_providers import MountedProviders

HOSTNAME = "session"


class Confinement(msgspec.Struct, frozen=True):
    """What confines the processes of sessions: the layers that are on, and what they need."""

    layers: frozenset[Layer] = frozenset()
    filters: Filters = Filters()
    base: str = template.PRIVATE_DIRECTORY  # where private directories are mounted
    places: Mapping[str, tuple[str, ...]] = {}  # of names in WORKER_FILES
    private: str = template.PRIVATE_DIRECTORY  # the worker's own
    uses_pkcs11: bool = False  # the session is shown PKCS#11 providers


def confine_resolver(uid: int, confinement: Confinement) -> None:
    """Take everything away from the calling process but looking up names.  Raises ConfinementError."""
    # It has no capability left, with which seccomp and Landlock could do without.
    confinement = replace(confinement, layers=confinement.layers | {Layer.NO_NEW_PRIVS})
    privileges.run_steps(
        [
            *privileges.set_rlimits(HELPER_RLIMITS),
            *privileges.lock_securebits(),
            *privileges.drop_to(uid, uid),
            *_forbid(confinement),
            *_restrict_files(confinement, RESOLVER_FILES, lambda: os.close(os.open("/dev/zero", os.O_WRONLY))),
            *load_filters(confinement.filters.resolver),
        ]
    )


def confine_name_setter() -> None:
    """Take all but the user id 0 from the calling process, and from what it executes.  Raises ConfinementError."""
    privileges.run_steps(
        [
            *privileges.set_rlimits(HELPER_RLIMITS),
            *privileges.lock_securebits(),
            *privileges.drop_to(0, 0),
            *privileges.forbid_new_privileges(),
            *privileges.hide_memory(),
        ]
    )


def confine_to_resolv_conf(confinement: Confinement) -> None:
    """Leave the calling process, a name setter, that file only.  Raises ConfinementError."""
    privileges.run_steps(
        [
            *_restrict_files(confinement, NAME_SETTER_FILES, lambda: os.close(os.open("/dev/zero", os.O_WRONLY))),
            *load_filters(confinement.filters.name_setter),
        ]
    )


def confine_spawner(confinement: Confinement) -> None:
    """Leave the calling process what it takes to make workers, when the template is built.  Raises ConfinementError."""
    privileges.run_steps(
        [
            *privileges.set_rlimits(HELPER_RLIMITS),
            *privileges.lock_securebits(ambient=Layer.CAPABILITIES not in confinement.layers),
            *privileges.drop_to(0, 0, SPAWNER_CAPABILITIES),
            *_forbid(confinement),
            *load_filters(confinement.filters.spawner),
        ]
    )


def shows_providers(layers: Collection[Layer]) -> bool:
    """Whether each worker is shown its own PKCS#11 providers only.

    It takes the root directory, in which they are on a stage, and mounts of the worker's own.
    """
    return Layer.ROOT in layers and Layer.MOUNT in layers


def confine_worker(uid: int, serial: int, confinement: Confinement, shown: MountedProviders) -> Confinement:
    """Give the calling process its private directory and its PKCS#11 providers, and take everything else away.

    Returns what confines it now.

    It is the first process of its new namespaces, inside the template root.  `serial` is unlike that of any other
    worker.  Raises ConfinementError.
    """
    layers = confinement.layers
    confinement = replace(confinement, uses_pkcs11=bool(shown.places))
    keep = () if Layer.CAPABILITIES in layers else tuple(SPAWNER_CAPABILITIES)
    steps: list[Step] = [("start a process group of its own", os.setpgrp, lambda: os.getpgrp() == os.getpid())]
    if Layer.UTS in layers:
        steps.append(
            ("set the host name", lambda: socket.sethostname(HOSTNAME), lambda: socket.gethostname() == HOSTNAME)
        )
    if Layer.MOUNT in layers:
        confinement = replace(confinement, private=confinement.base)
        steps.append(
            (
                "mount the private directory",
                lambda: template.mount_private_directory(uid, open_to_root=shown.in_private_directory),
                lambda: os.stat(confinement.private).st_uid == uid,
            )
        )
    else:
        confinement = replace(confinement, private=f"{confinement.base}/{serial}")
    if shows_providers(layers):
        steps.append(("show the PKCS#11 providers", shown.show, shown.others_are_hidden))
    if Layer.RLIMITS in layers:
        steps += privileges.set_rlimits(WORKER_RLIMITS)
    steps += privileges.drop_to(uid, uid, keep, groups=shown.groups)
    if keep:
        steps += _pass_on(keep)
    if Layer.MOUNT not in layers:
        steps.append(("make the private directory", lambda: os.mkdir(confinement.private, 0o700), lambda: True))
    steps += _forbid(confinement)
    if Layer.ROOT in layers:
        steps.append(
            ("see that the root is read-only", lambda: None, lambda: bool(os.statvfs("/").f_flag & os.ST_RDONLY))
        )
    places = {**confinement.places, "PRIVATE": (confinement.private,), "PROVIDERS": shown.places}
    a_directory = f"{confinement.private}/forbidden"
    steps += _restrict_files(replace(confinement, places=places), WORKER_FILES, lambda: os.mkdir(a_directory))
    privileges.run_steps(steps)
    prctl.set_name("ovpn-worker")
    return confinement


def confine_engine(confinement: Confinement) -> None:
    """What comes on top for the engine, in the process that is about to execute it.  Raises OSError."""
    if Layer.PID not in confinement.layers:
        process.signal_at_parents_end(signal.SIGKILL)
    if Layer.SCOPE in confinement.layers:
        landlock.keep_signals_inside()
    filters = confinement.filters
    for program in filters.pkcs11_engine if confinement.uses_pkcs11 else filters.engine:
        process.load_filter(program)


def confine_serving(confinement: Confinement) -> None:
    """What comes on top for a worker that has its engine's connection.  Raises ConfinementError."""
    privileges.run_steps(load_filters(confinement.filters.worker))


def load_filters(programs: Sequence[bytes]) -> list[Step]:
    """Steps to load the filters of one process, none of which admits memfd_create(2)."""

    def load() -> None:
        for program in programs:
            process.load_filter(program)

    return [("load a filter of system calls", load, _is_filtered)] if programs else []


def _is_filtered() -> bool:
    """Whether this process has a filter, and one that forbids what anybody may do otherwise."""
    try:
        os.close(os.memfd_create("forbidden"))
    except PermissionError:
        return bool(_prctl.prctl(_prctl.PR_GET_SECCOMP))
    return False


def _forbid(confinement: Confinement) -> list[Step]:
    steps = privileges.hide_memory()
    if Layer.NO_NEW_PRIVS in confinement.layers:
        steps += privileges.forbid_new_privileges()
    if Layer.MDWE in confinement.layers:
        steps.append(
            (
                "forbid executable memory",
                process.refuse_executable_memory,
                process.executable_memory_is_refused,
            )
        )
    return steps


def _restrict_files(
    confinement: Confinement, files: Mapping[str, Files], forbidden: Callable[[], object]
) -> list[Step]:
    """Steps to leave only `files`; `forbidden` does what only Landlock forbids."""
    by_path, scope = Layer.LANDLOCK in confinement.layers, Layer.SCOPE in confinement.layers
    if not (by_path or scope):
        return []
    chosen = files if by_path else {}

    def check() -> bool:
        try:
            forbidden()
        except PermissionError:
            return True
        return not by_path

    def restrict() -> None:
        landlock.restrict_files(chosen, confinement.places, scope=scope)

    return [("restrict files and signals", restrict, check)]


def _pass_on(keep: Iterable[str]) -> list[Step]:
    """Steps after which what this process executes has the capabilities `keep` too, all of which it has."""

    def pass_each() -> None:
        numbers = privileges.numbers(tuple(keep))
        _prctl.set_caps([], [], numbers, [], [], [])
        for number in numbers:
            process.keep_over_exec(number)

    return [("pass capabilities on", pass_each, lambda: True)]
