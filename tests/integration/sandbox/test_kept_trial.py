"""What a trial of the sandbox has found is kept, and used only if root has written it about this machine as it is."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from ....policy.exit_status import ExitStatus
from ....policy.sandbox.confinement import START_CAPABILITIES
from ...lab.connection import BusError
from ...lab.lab import Lab
from ...lab.surroundings import SERVICE
from ...support.service_life import make_directories, started, with_only


def kept(lab: Lab) -> Path:
    return lab.directory / "own/runtime/trial/found"


def started_and_ended(lab: Lab, *options: str, through: Sequence[str] = ()) -> int:
    """Have the service start and end; when what is kept was written, 0 if nothing is."""
    with started(lab, *options, through=through) as service:
        service.wait_line("runs as user")
        assert service.stop() == ExitStatus.OK
    return kept(lab).stat().st_mtime_ns if kept(lab).exists() else 0


def test_it_is_used_by_the_next_start(lab: Lab) -> None:
    first = started_and_ended(lab)
    found = kept(lab).stat()
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o600)
    assert (kept(lab).parent.stat().st_uid, kept(lab).parent.stat().st_mode & 0o777) == (SERVICE.uid, 0o700)
    assert started_and_ended(lab) == first
    # Another sandbox takes another trial, and other filters.
    second = started_and_ended(lab, "--sandbox=user,capabilities,no_new_privs,mount,pid,root,seccomp")
    assert second != first


def test_it_is_kept_with_few_capabilities(lab: Lab) -> None:
    """As the systemd unit leaves them: root may not write to directories of others."""
    make_directories(lab)
    through = with_only(lab, *START_CAPABILITIES)
    first = started_and_ended(lab, through=through)
    assert first == started_and_ended(lab, through=through) != 0


def anothers(file: Path) -> None:
    os.chown(file, SERVICE.uid, -1)


def writable(file: Path) -> None:
    file.chmod(0o622)


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def linked(file: Path) -> None:
    os.link(file, file.with_name("other"))


def elsewhere(file: Path) -> None:
    file.symlink_to(file.rename(file.with_name("other")))


def of_another_machine(file: Path) -> None:
    content = msgspec.msgpack.decode(file.read_bytes())
    file.write_bytes(msgspec.msgpack.encode(content | {"key": content["key"].replace("(", "[")}))


@pytest.mark.parametrize("change", [anothers, writable, cut_off, linked, elsewhere, of_another_machine])
def test_it_is_written_anew_if_it_is_not_roots(lab: Lab, change: Callable[[Path], None]) -> None:
    started_and_ended(lab)
    change(kept(lab))
    before = kept(lab).lstat().st_mtime_ns
    started_and_ended(lab)
    found = kept(lab).lstat()
    assert found.st_mtime_ns != before
    assert (found.st_uid, found.st_mode, found.st_nlink) == (0, 0o100600, 1)


def test_it_is_tried_anew_when_a_process_cannot_be_confined(lab: Lab) -> None:
    started_and_ended(lab)
    content = msgspec.msgpack.decode(kept(lab).read_bytes())
    content["found"]["filters"]["worker"] = [bytes(8)]  # which no kernel takes
    kept(lab).write_bytes(msgspec.msgpack.encode(content))
    with started(lab) as service:
        service.wait_line("runs as user")
        alice = lab.connection("alice")
        profile = alice.import_profile("work", lab.profile())
        with pytest.raises(BusError, match="CONFINEMENT"):
            alice.new_tunnel(profile)
        service.wait_line("The worker cannot be confined: load a filter of system calls")
        assert not kept(lab).exists()
        assert service.stop() == ExitStatus.OK
    assert started_and_ended(lab)
    with started(lab) as service:
        service.wait_line("runs as user")
        alice.new_tunnel(alice.import_profile("work", lab.profile()))
