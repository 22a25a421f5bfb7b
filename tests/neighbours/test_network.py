"""Bob, with a VPN server of his own that pushes what he likes; alice keeps her addresses, routes and traffic."""

import socket
import threading
from collections.abc import Iterator

import pytest

from ..lab.connection import LOG_PATH
from ..lab.lab import Lab
from ..lab.network import BEHIND_ADDRESS, CLIENT_ADDRESS, SERVER_ADDRESS
from ..lab.network import ip as run_ip
from ..lab.openvpn import TUNNEL_ADDRESS
from ..lab.service import Service
from ..lab.surroundings import BOB, RESOLV_CONF
from ..support.sessions import CONNECTED, FAILED, UserSession, begin
from ..support.silent_client import SilentClient
from .test_log_lines import set_dco

HER_SERVER, HER_OTHER_SERVER, HIS_SERVER = (
    "192.0.2.1",
    "192.0.2.3",
    "192.0.2.2",
)  # behind the router, unlike those of other tests
NAME_SERVER = "192.0.2.53"
HER_ADDRESS = "198.18.0.2"  # the first of her server's pool
HERE = "198.51.100.0/24"  # the machine's own network
PUBLIC = "203.0.113.200"


class Neighbourhood:
    """Alice's session in her VPN, and bob's server."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        for address in (HER_SERVER, HER_OTHER_SERVER, HIS_SERVER):
            run_ip("-n", lab.server_side.name, "address", "add", f"{address}/32", "dev", "lo")
        run_ip("-n", lab.client_side.name, "route", "add", "default", "via", SERVER_ADDRESS)
        self.her_server = lab.server(more=[f"local {HER_SERVER}", "explicit-exit-notify 1"])
        self.service: Service = lab.supervisor()
        self.start_alice("hers")

    def start_alice(self, name: str, *more: str) -> None:
        """Connect a session of hers, with these lines in its profile."""
        remotes = [f"{HER_SERVER} 1194", f"{HER_OTHER_SERVER} 1194"]
        self.alice = begin(self.lab, name, remotes=remotes, more=more)
        self.alice.connect()
        self._device = self.alice.get("device_name")

    def bob(self, *pushes: str, address: str = "198.18.7.9 255.255.255.0") -> UserSession:
        """His session, not connected yet, whose server pushes these things and an address."""
        self.lab.server(
            port=1195,
            subnet="198.18.7.0",
            pool=False,
            pushes=[f"ifconfig {address}", *pushes],
            more=[f"local {HIS_SERVER}"],
        )
        return begin(self.lab, "his", "bob", remotes=[f"{HIS_SERVER} 1195"])

    def colleague(self) -> UserSession:
        """A session of bob's in alice's VPN, connected."""
        session = begin(self.lab, "hers too", "bob", remotes=[f"{HER_SERVER} 1194"])
        session.connect()
        return session

    def check_alice(self) -> None:
        """Her traffic goes where it went."""
        for address in (TUNNEL_ADDRESS, BEHIND_ADDRESS):
            assert self.way_to(address) == self._device
            assert self.lab.echo(address, b"alice") == b"alice"
        assert self.way_to(HER_SERVER) == "cable"

    def way_to(self, address: str) -> str:
        """The device through which this machine sends to an address."""
        words = run_ip("-n", self.lab.client_side.name, "route", "get", address).split()
        return words[words.index("dev") + 1]

    def said(self, pattern: str, since: int = 0) -> None:
        """Wait for a line of the service's log, after the first `since` ones."""
        self.service.process.wait_line(pattern, since=since)

    @property
    def lines(self) -> int:
        """How many lines the service has logged."""
        return len(self.service.process.lines)


@pytest.fixture
def neighbourhood(lab: Lab) -> Iterator[Neighbourhood]:
    """Alice's traffic goes on, whatever a test does in it."""
    before = RESOLV_CONF.read_text()
    RESOLV_CONF.write_text(f"nameserver 127.0.0.53\nnameserver {NAME_SERVER}\n")
    try:
        made = Neighbourhood(lab)
        made.check_alice()
        yield made
        made.check_alice()
    finally:
        RESOLV_CONF.write_text(before)


@pytest.mark.parametrize(
    ("address", "rule", "note"),
    [
        (
            HER_SERVER,
            "it is the address of another session's VPN server",
            "is the VPN server of session .* of user 4001",
        ),
        (HER_ADDRESS, "another session has it", "belongs to session .* of user 4001"),
        (CLIENT_ADDRESS, "this machine has it", ""),
        ("198.51.100.77", f"it lies in {HERE}, a network of this machine (cable)", ""),
        (NAME_SERVER, "it is the address of a name server of this machine", ""),
    ],
    ids=["her server", "hers", "the machine's", "the machine's network", "a name server"],
)
def test_an_address_that_is_somebody_elses(neighbourhood: Neighbourhood, address: str, rule: str, note: str) -> None:
    bob = neighbourhood.bob(address=f"{address} 255.255.255.255")
    bob.call("Connect")
    text = bob.wait(FAILED)[2]
    assert text == f"The network settings cannot be applied: address {address}: {rule}"
    if note:
        neighbourhood.said(f"WARNING: address {address} {note}")
    # What others have is told to root alone.
    assert neighbourhood.alice.path.rsplit("/", 1)[1] not in text


def test_nearly_everything(neighbourhood: Neighbourhood) -> None:
    numbers = [number for number in range(1, 224) if number not in (127, 169, 192, 198)]
    bob = neighbourhood.bob(*(f"route {number}.0.0.0 255.0.0.0" for number in numbers))
    bob.call("Connect")
    assert "public addresses of IPv4, more than" in bob.wait(FAILED)[2]


def test_routes_that_are_somebody_elses(neighbourhood: Neighbourhood) -> None:
    """Those into the machine's networks he never gets, those into hers once she is gone; the others at once."""
    lab, alice = neighbourhood.lab, neighbourhood.alice
    hers = {HER_SERVER: HER_SERVER, BEHIND_ADDRESS: BEHIND_ADDRESS, TUNNEL_ADDRESS: TUNNEL_ADDRESS}
    bob = neighbourhood.bob(
        *(f"route {one} 255.255.255.255" for one in (*hers, NAME_SERVER, "198.51.100.1")),
        "route 198.18.0.0 255.255.255.0",
        "route 198.19.0.0 255.255.0.0",
        "route 203.0.0.0 255.255.0.0",
    )
    bob.connect()
    device = bob.get("device_name")
    at_once = {"198.18.7.0/24", "198.19.0.0/16", "203.0.0.0/16"}
    assert lab.client_side.routes(device) == at_once
    for pattern in (
        f"{HER_SERVER}/32 is pending: it covers {HER_SERVER}, the VPN server of another session",
        f"{BEHIND_ADDRESS}/32 is pending: it lies in 203.0.113.0/24, which another user's session has",
        f"{TUNNEL_ADDRESS}/32 is pending: it lies in 198.18.0.0/24, which another user's session has",
        "198.18.0.0/24 is pending: it lies in 198.18.0.0/24, which another user's session has",
        f"{NAME_SERVER}/32 is left out: it covers {NAME_SERVER}, a name server of this machine",
        f"198.51.100.1/32 is left out: it lies in {HERE}, a network of this machine .cable.",
    ):
        neighbourhood.said(f"WARNING: route {pattern}")
    neighbourhood.check_alice()

    alice.call("Disconnect")
    # In the order in which he asked, but her server's is kept free until her device is gone.
    neighbourhood.said("INFO: route 198.18.0.0/24 was pending and is set now")
    neighbourhood.said(f"INFO: route {HER_SERVER}/32 was pending and is set now")
    assert lab.client_side.routes(device) == at_once | set(hers) | {"198.18.0.0/24"}
    bob.call("Disconnect")
    neighbourhood.alice = UserSession(alice.user, alice.profile, alice.user.new_tunnel(alice.profile))
    neighbourhood.alice.connect()


def test_a_public_address_receives_nothing_from_others(neighbourhood: Neighbourhood) -> None:
    """Bob's listener stands where a host of the Internet is; what alice sends there does not reach it."""
    lab = neighbourhood.lab
    bob = neighbourhood.bob(address=f"{PUBLIC} 255.255.255.255")
    bob.connect()
    listen = [
        "python3", "-c",
        "import socket; s = socket.create_server(('0.0.0.0', 7777)); d = socket.socket(type=socket.SOCK_DGRAM);"
        "d.bind(('0.0.0.0', 7778)); print('ready', flush=True);"
        "print('accepted', s.accept()[0].recv(99), flush=True);"
        "print('received', d.recv(99), flush=True); d.recv(99)",
    ]  # fmt: skip
    listener = lab.client_side.start("listener", listen, "bob")
    listener.wait_line("ready")
    connect = "import socket, sys; socket.create_connection(({!r}, 7777), 10).sendall({!r})"

    def refused(user: str) -> bool:
        done = lab.client_side.run(["python3", "-c", connect.format(PUBLIC, user.encode())], user)
        return "Connection refused" in done.stderr

    assert refused("alice")
    assert refused("nobody")
    assert not refused("bob")
    listener.wait_line("accepted b'bob'")
    # Nor does what comes from others by the cable.
    run_ip("-n", lab.server_side.name, "route", "add", f"{PUBLIC}/32", "via", CLIENT_ADDRESS)
    with lab.server_side.entered(), socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(b"stolen", (PUBLIC, 7778))
        sender.sendto(b"for the machine", (CLIENT_ADDRESS, 7778))
    listener.wait_line("received b'for the machine'")
    listener.stop()
    bob.call("Disconnect")


def test_two_users_of_one_vpn(neighbourhood: Neighbourhood) -> None:
    lab, alice = neighbourhood.lab, neighbourhood.alice
    bob = neighbourhood.colleague()
    device = bob.get("device_name")
    assert lab.client_side.addresses(device) == {"198.18.0.3/32", "2001:db8:2::1001/128"}
    assert lab.client_side.routes(device) == set()
    neighbourhood.check_alice()
    alice.call("Pause", "s", "lunch")
    neighbourhood.said("INFO: route 2001:db8:3::/64 was pending and is set now")
    assert neighbourhood.way_to(BEHIND_ADDRESS) == device
    assert lab.echo(BEHIND_ADDRESS, b"bob", user="bob") == b"bob"
    before = alice.seen
    alice.call("Resume")
    alice.wait(CONNECTED, before)
    lines = neighbourhood.lines
    bob.call("Disconnect")
    neighbourhood.said("INFO: route 2001:db8:3::/64 was pending and is set now", lines)


def test_the_server_to_which_her_session_moves(neighbourhood: Neighbourhood) -> None:
    """Her engine keeps its device, and does not ask for its settings again."""
    lab = neighbourhood.lab
    neighbourhood.alice.call("Disconnect")
    neighbourhood.start_alice("moving", "persist-tun", "connect-timeout 5")
    alice = neighbourhood.alice
    before = alice.seen
    neighbourhood.her_server.stop()
    lab.server(more=[f"local {HER_OTHER_SERVER}"])
    alice.wait(CONNECTED, before, deadline=60)
    assert alice.get("connected_to")[1] == HER_OTHER_SERVER
    bob = neighbourhood.bob(*(f"route {server} 255.255.255.255" for server in (HER_SERVER, HER_OTHER_SERVER)))
    bob.connect()
    neighbourhood.said(
        f"route {HER_OTHER_SERVER}/32 is pending: it covers {HER_OTHER_SERVER}, the VPN server of another"
    )
    assert lab.client_side.routes(bob.get("device_name")) == {"198.18.7.0/24", HER_SERVER}
    assert neighbourhood.way_to(HER_OTHER_SERVER) == "cable"
    bob.call("Disconnect")


def test_her_session_connects_again(neighbourhood: Neighbourhood) -> None:
    """While she is not connected, what bob waits for does not become his; her server's not even while she pauses."""
    lab, alice = neighbourhood.lab, neighbourhood.alice
    bob = neighbourhood.bob(*(f"route {one} 255.255.255.255" for one in (HER_SERVER, BEHIND_ADDRESS, TUNNEL_ADDRESS)))
    bob.connect()
    device = bob.get("device_name")
    before = alice.seen
    alice.call("Restart")
    alice.wait(CONNECTED, before)
    neighbourhood.check_alice()
    assert lab.client_side.routes(device) == {"198.18.7.0/24"}

    alice.call("Pause", "s", "lunch")
    neighbourhood.said(f"INFO: route {TUNNEL_ADDRESS}/32 was pending and is set now")
    assert lab.client_side.routes(device) == {"198.18.7.0/24", BEHIND_ADDRESS, TUNNEL_ADDRESS}
    assert neighbourhood.way_to(HER_SERVER) == "cable"
    before = alice.seen
    alice.call("Resume")
    alice.wait(CONNECTED, before)
    bob.call("Disconnect")


def test_lines_for_root_about_his_requests(neighbourhood: Neighbourhood) -> None:
    """They count as his, like all that he causes: of 20 routes that wait for hers, he has no line left for each."""
    lab = neighbourhood.lab
    lab.connection("root").set(LOG_PATH, "log_level", "u", 3)
    bob = neighbourhood.bob(*(f"route 198.18.0.{number} 255.255.255.255" for number in range(100, 120)))
    other = begin(lab, "not connected", "bob", remotes=[f"{HIS_SERVER} 1195"])
    client = SilentClient(lab.bus.address, BOB.uid)
    done = threading.Event()

    def flood() -> None:
        while not done.is_set():
            set_dco(client, other.path, 500)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        neighbourhood.said("log lines of user 4002 were left out")
        bob.connect()
    finally:
        done.set()
        thread.join()
        client.close()
    waiting = [line for line in neighbourhood.service.log.splitlines() if " waits for session " in line]
    assert len(waiting) < 20
