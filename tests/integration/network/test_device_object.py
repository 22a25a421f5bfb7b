"""The object of a session's network device: where device_path leads."""

import pytest

from ...lab.connection import BusClient, BusError
from ...lab.lab import Lab
from ...lab.surroundings import ACCOUNTS
from ...support.sessions import CONNECTED, PAUSED, UserSession, begin

INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
NETCFG = "net.openvpn.v3.netcfg"
NETCFG_PATH = "/net/openvpn/v3/netcfg"


def device_nodes(user: BusClient) -> list[str]:
    """Paths of the devices that are on the bus."""
    xml: str = user.call(NETCFG_PATH, INTROSPECTABLE, "Introspect", to=NETCFG)
    names = [line.split('"')[1] for line in xml.splitlines() if line.startswith("  <node ")]
    return [f"{NETCFG_PATH}/{name}" for name in names]


def device_of(session: UserSession) -> str:
    return str(session.get("device_path"))


def test_the_device_is_there_from_the_first_connection_to_the_end(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    assert device_of(session) == "/"
    assert device_nodes(session.user) == []
    session.connect()
    path = device_of(session)
    assert device_nodes(session.user) == [path]
    facts = {
        "owner": ACCOUNTS["alice"].uid,
        "acl": [],
        "active": True,
        "device_name": session.get("device_name"),
        "layer": 3,
        "mtu": 1500,
        "txqueuelen": 500,  # the kernel's for tun devices
    }
    assert session.user.get_all(path) == facts
    assert {name: session.user.get(path, name) for name in facts} == facts

    session.call("Pause", "s", "lunch")
    session.wait(PAUSED)
    assert device_of(session) == path
    assert session.user.get_all(path) == facts | {"active": False}
    before = session.seen
    session.call("Resume")
    session.wait(CONNECTED, before)
    assert session.user.get(path, "active") is True

    session.call("Disconnect")
    assert device_nodes(session.user) == []
    with pytest.raises(BusError, match="No such interface"):
        session.user.get(path, "device_name")


def test_who_may_read_the_session_may_read_its_device(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    path = device_of(session)
    bob, root = lab.connection("bob"), lab.connection("root")
    assert root.get(path, "device_name") == session.get("device_name")
    with pytest.raises(BusError, match="Access denied"):
        bob.get(path, "device_name")
    assert bob.get_all(path) == {}
    session.call("AccessGrant", "u", ACCOUNTS["bob"].uid)
    assert bob.get(path, "acl") == [ACCOUNTS["bob"].uid]
    session.call("AccessRevoke", "u", ACCOUNTS["bob"].uid)
    session.user.set(session.path, "public_access", "b", True)
    assert bob.get(path, "device_name") == session.get("device_name")


def test_it_is_read_only(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    with pytest.raises(BusError, match="not writable"):
        session.user.set(device_of(session), "mtu", "q", 1400)
