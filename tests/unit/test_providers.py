"""What the service makes of the PKCS#11 providers on its command line when it starts."""

import grp
import os
from pathlib import Path

import pytest

from ...ipc.helpers import StagedProvider
from ...policy.profile.pkcs11 import Provider, asked_for
from ...policy.profile.syntax import tokenize
from ...supervisor.sandbox.pkcs11_providers import ListedProviders

GROUP = grp.getgrgid(os.getgid())


@pytest.fixture
def module(tmp_path: Path) -> str:
    path = tmp_path / "module.so"
    path.touch()
    return str(path)


def test_one_that_is_there(module: str, tmp_path: Path) -> None:
    made = ListedProviders([Provider("a", module), Provider("b", module, (str(tmp_path),), GROUP.gr_name)])
    assert [one.problem for one in made.listed] == ["", ""]
    assert made.staged == (StagedProvider((module,)), StagedProvider((module, str(tmp_path)), GROUP.gr_gid))


def test_one_that_is_not_there_keeps_its_number(module: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    made = ListedProviders(
        [
            Provider("no-module", missing),
            Provider("no-path", module, (missing,)),
            Provider("no-file", str(tmp_path)),
            Provider("below-a-file", module + "/x"),
            Provider("no-group", module, (), "no such group"),
            Provider("good", module),
        ]
    )
    assert [one.problem for one in made.listed] == [
        f"{missing} did not exist at service start (No such file or directory); correct that and restart the service",
        f"{missing} did not exist at service start (No such file or directory); correct that and restart the service",
        f"its module {tmp_path} is not a file",
        f"{module}/x did not exist at service start (Not a directory); correct that and restart the service",
        "the group no such group did not exist at service start; add it and restart the service",
        "",
    ]
    assert [one.places for one in made.staged] == [(), (), (), (), (), (module,)]
    assert asked_for(tokenize("pkcs11-providers no-module good\n"), made.listed) == {5}


def test_none_at_all() -> None:
    assert asked_for(tokenize("pkcs11-providers x\n"), ListedProviders([]).listed) == frozenset()
