"""With whom a profile of OpenVPN 3 Linux's own configuration service is shared."""

import json
from pathlib import Path
from typing import Any

import pytest

from ...policy.access import Acl
from ...supervisor.services.external_configuration import shared_with

NAME = "279252cdx7716x471exb8baxe2d9d679bde4"
PATH = f"/net/openvpn/v3/configuration/{NAME}"
# As release 27 writes it, but for the profile itself.
KEPT = {"object_path": PATH, "owner": 4001, "acl": [4002], "public_access": False, "name": "work", "used_count": 0}


def keep(directory: Path, kept: Any) -> None:
    (directory / f"{NAME}.json").write_text(json.dumps(kept))


def test_a_persistent_profile(tmp_path: Path) -> None:
    keep(tmp_path, KEPT)
    assert shared_with(PATH, 4001, tmp_path) == Acl(4001, {4002})
    keep(tmp_path, {**KEPT, "acl": [], "public_access": True})
    assert shared_with(PATH, 4001, tmp_path) == Acl(4001, set(), public=True)


def test_one_that_does_not_persist(tmp_path: Path) -> None:
    assert shared_with(PATH, 4001, tmp_path) is None


@pytest.mark.parametrize(
    "kept",
    [
        {**KEPT, "owner": 4003},
        {**KEPT, "object_path": PATH + "x"},
        {**KEPT, "acl": ["alice"]},
        {**KEPT, "acl": None},
        {"object_path": PATH, "owner": 4001},
        [],
        "text",
    ],
)
def test_what_is_not_its_file_shares_nothing(tmp_path: Path, kept: Any) -> None:
    keep(tmp_path, kept)
    assert shared_with(PATH, 4001, tmp_path) is None
