"""What bob sees of what is alice's."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from ..lab.connection import CONFIGURATION_PATH, LOG_PATH, SESSIONS_PATH, BusClient, BusError
from ..lab.lab import Lab
from ..lab.surroundings import ACCOUNTS
from ..support.sessions import begin
from .neighbours import PROPERTIES, Neighbours

INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
NETCFG_PATH = "/net/openvpn/v3/netcfg"
PROXIES_PATH = f"{LOG_PATH}/proxy"
BOB = ACCOUNTS["bob"].uid
ROOTS = [SESSIONS_PATH, CONFIGURATION_PATH, NETCFG_PATH, PROXIES_PATH]


def below(user: BusClient, path: str) -> list[str]:
    """The paths of the objects that introspection lists there."""
    nodes = ElementTree.fromstring(user.call(path, INTROSPECTABLE, "Introspect")).findall("node")
    return [f"{path}/{node.attrib['name']}" for node in nodes]


def error_of_introspecting(user: BusClient, path: str) -> tuple[str, str]:
    with pytest.raises(BusError) as caught:
        user.call(path, INTROSPECTABLE, "Introspect")
    return caught.value.name, caught.value.text


def objects_of(neighbours: Neighbours) -> dict[str, str]:
    """All of alice's objects, by what lists them."""
    session = neighbours.session
    session.call("LogForward", "b", True)
    [proxy] = session.get("log_forwards")
    device = session.get("device_path")
    assert device != "/"
    return dict(zip(ROOTS, [session.path, session.profile, device, proxy], strict=True))


def test_introspection(neighbours: Neighbours) -> None:
    """To him it is as if there were nothing; to her, root and the services there is what there is."""
    objects = objects_of(neighbours)
    lab, alice = neighbours.lab, neighbours.session.user
    bob = lab.connection("bob")
    for root, path in objects.items():
        for user in (alice, lab.connection("root"), lab.connection("_openvpn")):
            assert below(user, root) == [path], user.user
            user.call(path, INTROSPECTABLE, "Introspect")
        missing = path[:-1] + ("0" if path[-1] != "0" else "1")
        name, text = error_of_introspecting(bob, missing)
        assert error_of_introspecting(bob, path) == (name, text.replace(missing, path))
        if root != PROXIES_PATH:
            assert below(bob, root) == []
    assert PROXIES_PATH in below(alice, LOG_PATH)
    assert below(bob, LOG_PATH) == []
    name, text = error_of_introspecting(bob, PROXIES_PATH)
    nowhere = LOG_PATH + "/nowhere"
    assert error_of_introspecting(bob, nowhere) == (name, text.replace(PROXIES_PATH, nowhere))


def test_what_she_shares_he_sees_while_she_does(neighbours: Neighbours) -> None:
    session, profile = neighbours.session, neighbours.session.profile
    objects = objects_of(neighbours)
    shared = [SESSIONS_PATH, CONFIGURATION_PATH, NETCFG_PATH]
    alice, bob = session.user, neighbours.lab.connection("bob")

    def seen() -> bool:
        found = {root: below(bob, root) for root in shared}
        assert found in ({root: [] for root in shared}, {root: [objects[root]] for root in shared})
        return found[SESSIONS_PATH] != []

    for path in (session.path, profile):
        alice.call(path, path_interface(path), "AccessGrant", "u", BOB)
    assert seen()
    for path in (session.path, profile):
        alice.call(path, path_interface(path), "AccessRevoke", "u", BOB)
    assert not seen()
    for path in (session.path, profile):
        alice.set(path, "public_access", "b", True)
    assert seen()
    for path in (session.path, profile):
        alice.set(path, "public_access", "b", False)
    assert not seen()


def path_interface(path: str) -> str:
    return ".".join(path.split("/")[1:5])


def test_calls_of_her_objects(neighbours: Neighbours) -> None:
    """As clients rely on: nothing is read, and an object that is there is not taken for one that is not."""
    bob = neighbours.lab.connection("bob")
    for path in objects_of(neighbours).values():
        expected = {"owner"} if path == neighbours.session.profile else set()
        assert bob.get_all(path).keys() == expected
        for name in neighbours.session.user.get_all(path).keys() - expected:
            with pytest.raises(BusError, match=r"AccessDenied") as caught:
                bob.call(path, PROPERTIES, "Get", "ss", path_interface(path), name)
            assert path not in caught.value.text


def test_many_objects(neighbours: Neighbours) -> None:
    """Long lists are made in pieces; an object that comes or goes meanwhile does no harm."""
    bob, alice = neighbours.lab.connection("bob"), neighbours.session.user
    text = neighbours.lab.profile()
    his = [bob.import_profile(f"profile {number}", text) for number in range(300)]
    assert below(bob, CONFIGURATION_PATH) == his
    assert below(alice, CONFIGURATION_PATH) == [neighbours.session.profile]
    reading = [bob.start_call(CONFIGURATION_PATH, INTROSPECTABLE, "Introspect") for _ in range(5)]
    other = neighbours.lab.connection("bob")
    for path in his[:50]:
        other.call(path, path_interface(path), "Remove")
    for number in reading:
        [xml] = bob.finish_call(number)
        assert 250 <= len(ElementTree.fromstring(xml).findall("node")) <= 300
    assert below(bob, CONFIGURATION_PATH) == his[50:]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), r"openvpn3-session: work of alice, session \S+"),
        (("--process-titles=full",), r"openvpn3-session: work of alice, session \S+"),
        (("--process-titles=plain",), r"openvpn3-session: session \S+"),
    ],
)
def test_titles(lab: Lab, options: tuple[str, ...], expected: str) -> None:
    """What every user of the machine reads in ps(1) is the administrator's choice."""
    lab.server()
    lab.supervisor(*options)
    session = begin(lab, "work", "alice")
    session.connect()
    assert re.fullmatch(expected, session.worker.cmdline()[0].rstrip())
