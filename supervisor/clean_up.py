"""`--clean-up`: what an instance that was killed has left is removed; it takes neither a bus nor the service."""

import asyncio
import contextlib

from ..policy.exit_status import ExitStatus
from .dns.journal import NamesJournal
from .dns.names import Names
from .dns.setup import backend_without_bus
from .errors import StartError, SystemFailure
from .network.setup import network_of
from .sessions.journal import SessionJournal
from .start import privileged
from .start.instance import InstanceLock
from .workers.processes import Processes


async def clean_up(prepared: privileged.Prepared) -> ExitStatus:
    """Undo what is noted on disk; the log says what.  Raises StartError, also if another instance runs."""
    options, log = prepared.options, prepared.log
    await InstanceLock(options.runtime_dir).acquire()
    processes = Processes(
        prepared.helpers,
        log,
        lambda uid: None,
        lambda: True,
        lambda: None,
        stopped_grace=options.stopped_grace,
        look_interval=options.look_interval,
    )
    try:
        network = network_of(options, log, prepared.tun_directory, prepared.ipv6_settings)
        journal = SessionJournal(options.runtime_dir / "sessions")
        backend = backend_without_bus(prepared.dns, processes.name_setter)
        kept = NamesJournal(options.runtime_dir / "names")
    except OSError as error:
        raise StartError(f"{error.filename} cannot be used: {error.strerror}", ExitStatus.CANNOT_START) from error
    names = Names(backend, prepared.dns.reason, network.name_servers, kept, log)
    processes.start()
    try:
        for device in await names.recover():
            log.warn(f"Gave back the name servers that an earlier instance had set for {device}")
        found = await asyncio.to_thread(journal.leftovers)
        ends = await asyncio.gather(*(asyncio.to_thread(journal.end, left) for left in found))
        for left, ended in zip(found, ends, strict=True):
            if ended and left.record is not None:
                log.warn(f"Ended worker {left.record.pid} of an earlier instance")
        for device in await network.recover():
            log.warn(f"Removed device {device} of an earlier instance")
        with contextlib.suppress(SystemFailure):
            await network.protect(prepared.session_uids)  # whose rules are removed with this one's end
    except (OSError, SystemFailure) as error:
        log.error(f"Not all could be removed: {error}")
        return ExitStatus.INTERNAL
    finally:
        await network.close()
        names.close()
        processes.close()
    return ExitStatus.OK
