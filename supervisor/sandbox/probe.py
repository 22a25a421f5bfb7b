"""Which layers of the sandbox this machine has, found by using them: for root, in a process that ends afterwards."""

import struct
from collections.abc import Callable
from functools import partial

from ...ipc.helpers import Filters
from ...kernel import landlock, privileges, process
from ...policy.sandbox.layers import NAMESPACES, Layer
from ..errors import SystemFailure
from ..network import firewall
from . import filters
from .choice import TrialResult

_ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)  # BPF_RET | BPF_K, SECCOMP_RET_ALLOW


def probe(layers: frozenset[Layer], session_uids: range, provider_groups: int | None) -> TrialResult:
    """Try each of `layers` that a kernel or container may lack, and build the filters."""
    result = TrialResult({}, Filters())

    def attempt(layer: Layer, body: Callable[[], object]) -> None:
        if layer in layers:
            try:
                body()
            except (OSError, filters.CannotBuild, privileges.ConfinementError, SystemFailure) as error:
                result.missing[layer] = str(error)

    # First: in a new pid namespace this process could start only one other.
    attempt(Layer.SECCOMP, filters.check)
    for layer, flag in NAMESPACES.items():
        attempt(layer, partial(process.unshare, flag))
    attempt(Layer.MDWE, process.refuse_executable_memory)
    attempt(Layer.FIREWALL, partial(firewall.probe, session_uids))
    attempt(Layer.NO_NEW_PRIVS, lambda: privileges.run_steps(privileges.forbid_new_privileges()))
    attempt(Layer.LANDLOCK, landlock.abi)
    attempt(Layer.SCOPE, _find_scopes)
    if Layer.SECCOMP in layers - result.missing.keys():
        there = layers - result.missing.keys()  # the filter admits the namespaces that have been found
        try:
            if struct.calcsize("P") != 8:
                raise OSError("this is a 32-bit system")
            built = filters.build_all(there, session_uids, provider_groups)
            process.load_filter(_ALLOW_ALL)
            result.filters = built
        except (OSError, filters.CannotBuild) as error:
            result.missing[Layer.SECCOMP] = str(error)
    return result


def _find_scopes() -> None:
    if (abi := landlock.abi()) < landlock.SCOPES_SINCE:
        raise OSError(f"Landlock {landlock.SCOPES_SINCE} has it, this kernel has {abi}")
