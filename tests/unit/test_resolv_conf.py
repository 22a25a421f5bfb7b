"""The text of resolv.conf with the name servers of a session, and without."""

from hypothesis import given
from hypothesis import strategies as st

from ...policy.resolv_conf import with_servers, without_servers

BEFORE = "# by hand\nnameserver 192.0.2.53\nsearch lan.example\noptions ndots:2\n"


def lines_in_force(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_name_servers_take_the_place_of_the_others_and_give_it_back() -> None:
    text = with_servers(BEFORE, ["198.18.0.1", "2001:db8::1"], ["corp.example"])
    assert lines_in_force(text) == [
        "nameserver 198.18.0.1",
        "nameserver 2001:db8::1",
        "search corp.example lan.example",
        "options ndots:2",
    ]
    assert without_servers(text) == BEFORE


def test_others_after_each_other() -> None:
    first = with_servers(BEFORE, ["198.18.0.1"], ["a.example"])
    second = with_servers(first, ["198.18.1.1"], [])
    assert lines_in_force(second) == ["nameserver 198.18.1.1", "search lan.example", "options ndots:2"]
    assert without_servers(second) == BEFORE


def test_what_others_write_meanwhile_is_kept() -> None:
    text = with_servers(BEFORE, ["198.18.0.1"], [])
    assert without_servers(text + "options rotate\n") == BEFORE + "options rotate\n"
    assert without_servers("nameserver 203.0.113.53\n") == "nameserver 203.0.113.53\n"
    # Somebody has cut the end of ours off, and the rest is theirs.
    cut = text.replace("# openvpn3-sessionmgr: end of these\n", "")
    assert "openvpn3" not in without_servers(cut)


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=80), st.lists(st.just("a.example"), max_size=2))
def test_whatever_was_there_comes_back(text: str, search: list[str]) -> None:
    assert without_servers(with_servers(text, ["198.18.0.1"], search)) == text


@given(st.lists(st.sampled_from(["nameserver 192.0.2.1", "search a b", "domain c", "", "# x", " nameserver y", "\t"])))
def test_whatever_lines_were_there_come_back(lines: list[str]) -> None:
    text = "\n".join(lines)
    changed = with_servers(text, ["198.18.0.1"], [])
    assert without_servers(changed) == text
    assert [line for line in lines_in_force(changed) if line.split()[:1] == ["nameserver"]] == ["nameserver 198.18.0.1"]
