"""The spawner: makes one confined process per session on request, and does nothing else.

Exec'd by the supervisor as root, before any outside input is read.  It forks the resolver and the name setter, builds
the template root, keeps four capabilities, and becomes two processes, its keeper and the serving one (keeper.py).  Code
execution in either is still root's power; that is why the serving one reads nothing but a request of fixed size.

A worker is forked twice: A leaves the namespaces, so that its child B is the first process of a pid namespace; A
tells the supervisor about B and ends, whereby B becomes the supervisor's child (it is the subreaper, prctl(2)).
"""

import contextlib
import errno
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial

import prctl
from msgspec.structs import replace

from ...ipc import helpers, inherited
from ...ipc.channel import BadFrame, Channel, ChannelClosed
from ...kernel import mounts, process
from ...policy.exit_status import ExitStatus
from ...policy.sandbox import layers
from ...policy.sandbox.confinement import SESSIONS_NICE
from ...policy.sandbox.layers import Layer
from ..sandbox import cgroup, confine, template
from ..sandbox.confine import Confinement
from ..sandbox.pkcs11_providers import MountedProviders
from ..session import loop
from ..session.loop import WorkerEnds
from ..sharing.pages import share_pages
from . import name_servers, resolver
from .keeper import Keeper, end_with, keep_serving, run_apart

_COLLECT_AFTER = 50_000  # allocations; a worker makes few that live
_TITLE = "openvpn3-service-sessionmgr"


def main() -> None:
    """Run both helpers; ipc/helpers.py lists their descriptors, and what is read first."""
    # The supervisor decides when its helpers end, by closing their sockets; a Ctrl-C at the terminal is for it alone.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in loop.ENDING:
        # Not ignored, but of no effect here: a worker that had to set its own handlers would take 0.1 MB for that.
        signal.signal(number, lambda *_: None)
    with os.fdopen(inherited.SETUP_FD, "rb") as pipe:
        setup = helpers.read_setup(pipe)
        if setup is None:  # the supervisor cannot start
            os._exit(ExitStatus.OK)
        requests = (inherited.SPAWNER_FD, inherited.RESOLVER_FD, inherited.NAMES_FD)
        select.select([inherited.SETUP_FD, *requests], [], [])
    confinement = Confinement(setup.layers, setup.filters)
    share_pages()
    gc.set_threshold(_COLLECT_AFTER)
    gc.enable()
    starting = os.fork()
    if starting == 0:
        # From a process that ends at once: so its parent is the supervisor, which sees when it is stopped.
        if os.fork() == 0:
            end_with(lambda: _be_resolver(setup, confinement))
        if setup.name_setter and os.fork() == 0:
            end_with(lambda: _be_name_setter(setup, confinement))
        os._exit(ExitStatus.OK)
    os.waitpid(starting, 0)
    os.close(inherited.RESOLVER_FD)
    os.close(inherited.NAMES_FD)
    end_with(lambda: _be_spawner(setup, confinement))


def _be_resolver(setup: helpers.Setup, confinement: Confinement) -> None:
    os.close(inherited.SPAWNER_FD)
    os.close(inherited.CGROUP_FD)
    os.close(inherited.NAMES_FD)
    title = f"{_TITLE}: resolver"
    prctl.set_proctitle(title)
    confine.confine_resolver(setup.first_uid, confinement)
    requests = _inherited_channel(inherited.RESOLVER_FD)
    keep_serving(title, lambda anew, keeper: resolver.serve(requests, keeper, anew=anew), setup.stopped_grace)


def _be_name_setter(setup: helpers.Setup, confinement: Confinement) -> None:
    for descriptor in (inherited.SPAWNER_FD, inherited.RESOLVER_FD, inherited.CGROUP_FD):
        os.close(descriptor)
    title = f"{_TITLE}: name setter"
    prctl.set_proctitle(title)
    confine.confine_name_setter()
    requests = _inherited_channel(inherited.NAMES_FD)

    def answer_one() -> None:
        name_servers.answer_one(requests, setup.name_setter, setup.bus)

    def answer_confined() -> None:
        # Each in a process of its own, since resolv.conf may be another file by the next time.
        confine.confine_to_resolv_conf(confinement)
        answer_one()

    def serve(anew: bool, keeper: Keeper) -> None:
        in_file = setup.name_setter == "file"
        answer = partial(run_apart, answer_confined, setup.stopped_grace) if in_file else answer_one
        name_servers.serve(requests, keeper, answer, anew=anew)

    keep_serving(title, serve, setup.stopped_grace)


def _be_spawner(setup: helpers.Setup, confinement: Confinement) -> None:
    engine, staged = setup.engine, setup.providers
    title = f"{_TITLE}: spawner"
    prctl.set_proctitle(title)
    _weigh_sessions()
    process.unshare(process.CLONE_NEWNS)
    mounts.make_mounts_private()
    cgroup.restrict_descriptor(inherited.CGROUP_FD)
    if Layer.ROOT in confinement.layers:
        template.build_and_enter(engine, setup.directory, staged)
        engine, base = template.ENGINE_PATH, template.PRIVATE_DIRECTORY
    else:
        template.bring_device()
        base = template.OUTSIDE_DIRECTORY
    if Layer.MOUNT not in confinement.layers:
        template.share_private_directory(base)
    template.map_pinned_strings(engine, base, staged)
    if not confine.shows_providers(confinement.layers):
        _show_to_all(confinement, staged)
    places = {"ENGINE": (engine,), "LOADER": template.loaders()}
    confinement = replace(confinement, base=base, places=places)
    confine.confine_spawner(confinement)
    uids = range(setup.first_uid + 1, setup.last_uid + 1)
    requests = _inherited_channel(inherited.SPAWNER_FD)
    keep_serving(title, lambda anew, keeper: _serve(requests, keeper, uids, confinement, staged), setup.stopped_grace)


def _weigh_sessions() -> None:
    """Have the kernel's scheduler take all workers and engines for one group, with a weight of its own (sched(7)).

    Each login session and each service is such a group, too.  A control group with a CPU controller takes the place of
    these groups: under systemd the weight is in the unit, which does not let this process raise its own.
    """
    os.setsid()
    with contextlib.suppress(OSError):
        os.write(descriptor := os.open("/proc/self/autogroup", os.O_WRONLY), str(SESSIONS_NICE).encode())
        os.close(descriptor)


def _show_to_all(confinement: Confinement, staged: Sequence[helpers.StagedProvider]) -> None:
    """Where a worker cannot be shown its own PKCS#11 providers only: let all see them, and say so."""
    if not any(provider.places for provider in staged):
        return
    if Layer.ROOT in confinement.layers:  # otherwise they are where they belong
        MountedProviders(staged, range(len(staged))).show()
    print("PKCS#11: all sessions can see the files of all providers", file=sys.stderr, flush=True)


def _serve(
    requests: Channel,
    keeper: Keeper,
    uids: range,
    confinement: Confinement,
    staged: Sequence[helpers.StagedProvider],
) -> None:
    prctl.set_proctitle(f"{_TITLE}: spawner, serving")
    while True:
        keeper.wait_for(requests)
        try:
            packet = requests.receive()
        except ChannelClosed:
            return
        try:
            serial, uid, numbers = helpers.unpack_spawn(packet.data)
            if uid not in uids or len(packet.descriptors) not in (1, 2) or not numbers <= set(range(len(staged))):
                what = f"user id {uid} with {len(packet.descriptors)} descriptors, providers {sorted(numbers)}"
                raise BadFrame(f"a request for {what}")
            with contextlib.ExitStack() as taken:
                worker_end = taken.enter_context(socket.socket(fileno=packet.take()))
                later = taken.enter_context(socket.socket(fileno=packet.take())) if packet.descriptors else None
                ends = WorkerEnds(Channel(worker_end), later)
                failure = _spawn(requests, keeper, serial, uid, ends, confinement, MountedProviders(staged, numbers))
            if failure:
                _answer(requests, serial, -failure)
        except BadFrame as error:
            print(f"spawner: {error}", file=sys.stderr, flush=True)
        finally:
            packet.close()


def _spawn(
    requests: Channel,
    keeper: Keeper,
    serial: int,
    uid: int,
    ends: WorkerEnds,
    confinement: Confinement,
    shown: MountedProviders,
) -> int:
    """Make a worker, which answers the request by itself; an errno if there is none."""
    try:
        intermediate = os.fork()
    except OSError as error:
        return error.errno or errno.EAGAIN
    if intermediate == 0:
        keeper.close()
        end_with(lambda: _unshare_and_fork(requests, serial, uid, ends, confinement, shown))
    _, status = os.waitpid(intermediate, 0)
    return 0 if status == 0 else errno.ECHILD


def _unshare_and_fork(
    requests: Channel, serial: int, uid: int, ends: WorkerEnds, confinement: Confinement, shown: MountedProviders
) -> None:
    try:
        if Layer.CGROUP in confinement.layers:
            cgroup.enter(inherited.CGROUP_FD, uid)
        os.close(inherited.CGROUP_FD)  # the worker is not to reach its own bounds
        process.unshare(layers.namespace_flags(confinement.layers))
        pid = os.fork()
    except OSError as error:
        _answer(requests, serial, -(error.errno or errno.EAGAIN))
        return
    if pid == 0:
        requests.close()
        loop.run(ends, confine.confine_worker(uid, serial, confinement, shown))
        return
    _answer(requests, serial, pid, [os.pidfd_open(pid)])


def _answer(requests: Channel, serial: int, pid: int, descriptors: Sequence[int] = ()) -> None:
    try:
        requests.send(helpers.pack_spawned(serial, pid), descriptors)
    except ChannelClosed:
        pass  # the supervisor has ended: `_serve` sees the same, and a worker sees its own channel closed


def _inherited_channel(descriptor: int) -> Channel:
    return Channel(socket.socket(fileno=descriptor))
