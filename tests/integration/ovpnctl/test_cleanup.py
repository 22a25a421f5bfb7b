"""ovpnctl cleanup: sessions that have failed, and what is left of a service that does not run."""

import signal

from ....policy.dbus_numbers import StatusMinor
from ...lab.lab import Lab
from ...lab.network import CABLE, ip
from ...lab.processes import clean_environment
from ...lab.service import service_command
from ...support.administration import chosen
from ...support.sessions import CONNECTED, FAILED, begin, kill


def test_those_that_have_failed_and_that_one_may_end(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    alice, bob, quiet = begin(lab), begin(lab, "bobs", "bob"), begin(lab, "quiet")
    quiet.connect()
    for one in (alice, bob):
        kill(one.worker)
        one.wait(FAILED)
    done = lab.ovpnctl("alice", "cleanup")
    assert done.returncode == 0
    assert done.stdout == f"Ended work ({alice.path}): The session's worker was killed by SIGKILL\n"
    assert lab.ovpnctl("alice", "cleanup").stdout == "No session has failed\n"
    done = lab.ovpnctl("root", "cleanup", "--json")
    assert done.returncode == 0
    assert bob.path in done.stdout
    assert quiet.get("status") == [2, CONNECTED, ""]
    assert StatusMinor.CONN_FAILED in bob.minors


def test_root_without_the_service(lab: Lab) -> None:
    """What somebody else has set is left alone, and named."""
    lab.server()
    service = lab.supervisor()
    sessions = [begin(lab), begin(lab, "another")]
    for one in sessions:
        one.connect()
    first, second = (one.get("device_name") for one in sessions)
    service.process.signal(signal.SIGKILL)
    service.process.wait()
    lab.bus.stop()
    ip("-n", lab.client_side.name, "link", "delete", first)
    ip("-n", lab.client_side.name, "tuntap", "add", "dev", first, "mode", "tap")
    done = lab.ovpnctl("alice", "cleanup")
    assert done.returncode == 7
    for _ in range(2):
        done = lab.ovpnctl("root", "cleanup", f"--runtime-dir={lab.service_directory / 'runtime'}")
        assert done.returncode == 0, done.stderr
        assert lab.client_side.devices() == {CABLE, first}
        assert lab.client_side.run(["nft", "list", "tables"], environment=clean_environment()).stdout == ""
        if _ == 0:
            assert f"Removed device {second} of an earlier instance" in done.stdout
            assert f"{first} is another device now, and left alone" in done.stdout
    assert done.stdout == "Nothing is left\n"
    ip("-n", lab.client_side.name, "link", "delete", first)


def test_though_the_configuration_is_wrong_and_the_sandbox_impossible(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    service.process.signal(signal.SIGKILL)
    service.process.wait()
    # What runs it here is not in a control group that it may divide.
    chosen(lab, 'sandbox = "strict"\nnonsense = 1')
    command = service_command(lab.service_directory, "--clean-up")
    done = lab.client_side.run(command, environment=clean_environment())
    assert done.returncode == 0, done.stderr
    assert "there is no key 'nonsense'" in done.stderr
    assert lab.client_side.devices() == {CABLE}
