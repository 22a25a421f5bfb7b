"""Which sources of names count where name servers are chosen (nsswitch.conf(5))."""

import pytest

from ...worker.helpers.chosen_servers import _without


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("files dns", "files dns"),
        ("mymachines resolve [!UNAVAIL=return] files myhostname dns", "mymachines files myhostname dns"),
        ("files mdns4_minimal [NOTFOUND=return] dns", "files mdns4_minimal [NOTFOUND=return] dns"),
        ("resolve [ !UNAVAIL=return SUCCESS=return ] dns [UNAVAIL=return]", "dns [UNAVAIL=return]"),
    ],
)
def test_systemd_resolved_is_left_out_with_what_belongs_to_it(line: str, left: str) -> None:
    assert " ".join(_without(line.split(), {"resolve"})) == left
