"""What a command with the VPN as its only network has in place of the machine's files about names."""

import pytest

from ...ctl.hidden import nsswitch, resolv_conf, sockets, usable


def test_only_files_and_name_servers_answer_for_hosts() -> None:
    text = (
        "passwd: files systemd\n hosts : files mdns4_minimal [NOTFOUND=return] resolve dns\n# hosts: a\nnetworks:db\n"
    )
    assert nsswitch(text).splitlines() == [
        "passwd: files systemd",
        "# hosts: a",
        "hosts: files dns",
        "networks: files",
    ]


def test_name_servers_that_resolv_conf_can_have() -> None:
    """Three of them, on the usual port."""
    servers = ["198.18.0.1:5353", "198.18.0.1", "[2001:db8::1]:53", "2001:db8::1", "198.18.0.2", "198.18.0.3"]
    assert usable(servers) == ["198.18.0.1", "2001:db8::1", "198.18.0.2"]
    lines = resolv_conf(servers, ["a.example", "b.example"]).splitlines()
    assert lines[1:] == [f"nameserver {one}" for one in usable(servers)] + ["search a.example b.example"]
    assert len(resolv_conf([], []).splitlines()) == 1


@pytest.mark.parametrize(
    ("address", "paths"),
    [
        ("", []),
        ("unix:path=/run/a/socket", ["/run/a/socket"]),
        ("unix:guid=1,path=/run/a,abc=1;unix:abstract=/b;tcp:host=c;unix:path=/d", ["/run/a", "/d"]),
        ("unix:path=/run/a%20b", ["/run/a b"]),
    ],
)
def test_sockets_of_a_bus(address: str, paths: list[str]) -> None:
    assert sockets(address) == paths
