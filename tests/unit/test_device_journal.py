"""The records of devices."""

from pathlib import Path

from ...policy.limits import MAX_WAYS, SESSION_UIDS
from ...supervisor.network.journal import DeviceJournal, Entry, current_namespace
from ...supervisor.network.prefixes import Host, Way

SESSION = "/net/openvpn/v3/sessions/0123456789abcdef0123456789abcdef"


def test_a_record_with_all_that_it_may_have_fits_its_place(tmp_path: Path) -> None:
    ways = tuple(Way(2**31 - 1, Host(6, 2**128 - 1 - number), True) for number in range(MAX_WAYS))
    first = Entry("tun1234567890ab", 2**31 - 1, current_namespace(), SESSION_UIDS[-1], SESSION)
    last = Entry(first.name, first.index, first.namespace, first.uid, first.session, ways)
    journal = DeviceJournal(tmp_path)
    journal.write(first)
    journal.replace(first, last)
    journal.close()
    again = DeviceJournal(tmp_path)
    assert list(again.entries()) == [last]
    again.remove(last)
    assert list(again.entries()) == []
    again.close()
