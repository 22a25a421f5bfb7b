"""The layers of the sandbox: their names, what is chosen of them, and Landlock's rules, tried."""

import os
from collections.abc import Callable
from pathlib import Path

import prctl
import pytest

from ...ipc.helpers import Filters
from ...kernel import landlock
from ...policy.sandbox.confinement import RESOLVER_FILES, WORKER_FILES, Files
from ...policy.sandbox.layers import ALL, LAYERS, Layer, join, parse, split, unmet_dependency
from ...supervisor.errors import StartError
from ...supervisor.sandbox import choice
from ...supervisor.sandbox.choice import TrialResult
from ...supervisor.sessions.uids import UserIds
from ..support.skipping import cannot_run_here

ROOT = Path(__file__).resolve().parents[2]
UIDS = range(60707, 61184)


def test_every_layer_is_described_here_and_in_the_document() -> None:
    assert set(LAYERS) == ALL
    document = (ROOT / "docs" / "SECURITY.md").read_text()
    for layer, row in LAYERS.items():
        assert f"| `{layer}` | {row.does} | {row.needs} |\n" in document


def test_layers_as_a_word_and_back() -> None:
    assert join([Layer.MDWE, Layer.USER]) == "user,mdwe"
    assert join(()) == "none"
    for layers in (ALL, frozenset(), frozenset({Layer.ROOT})):
        assert split(join(layers)) == layers


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("available", "available"),
        ("strict", "strict"),
        ("none", frozenset()),
        ("mdwe,pid", {Layer.MDWE, Layer.PID}),
    ],
)
def test_the_option_takes(text: str, chosen: object) -> None:
    assert parse(text) == chosen


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("all", "'all' is not a valid Layer; there are user, capabilities, "),
        ("mdwe,", "'' is not a valid Layer"),
        ("", "'' is not a valid Layer"),
        ("capabilities,seccomp", "seccomp with capabilities needs no_new_privs too"),
        ("capabilities,scope", "scope with capabilities needs no_new_privs too"),
    ],
)
def test_the_option_does_not_take(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_without_capabilities_each_restriction_stands_alone() -> None:
    assert not any(unmet_dependency({layer}) for layer in Layer)
    assert not unmet_dependency(ALL)


NOT_DELEGATED = {Layer.CGROUP: "not delegated"}
NO_LANDLOCK = TrialResult({Layer.LANDLOCK: "no such call"}, Filters())
EVERYTHING = TrialResult({}, Filters())


def test_available_goes_without_and_says_so() -> None:
    made = choice.choose("available", NOT_DELEGATED, NO_LANDLOCK)
    assert made.layers == ALL - {Layer.LANDLOCK, Layer.CGROUP}
    landlock, cgroup = made.describe()
    assert landlock.startswith("Sandbox without landlock (files by list, ")
    assert "needs Linux 5.13" in landlock
    assert landlock.endswith("no such call")
    assert cgroup.endswith("not delegated")


@pytest.mark.parametrize("wanted", ["strict", frozenset({Layer.LANDLOCK, Layer.MDWE, Layer.CGROUP})])
def test_strict_and_a_list_name_what_is_missing(wanted: str | frozenset[Layer]) -> None:
    with pytest.raises(StartError) as raised:
        choice.choose(wanted, NOT_DELEGATED, NO_LANDLOCK)
    for part in (
        "landlock, which needs Linux 5.13",
        "(no such call)",
        "cgroup, which needs cgroup v2",
        "(not delegated)",
    ):
        assert part in str(raised.value)
    assert "mdwe" not in str(raised.value)


def test_a_list_goes_without_the_others() -> None:
    made = choice.choose(frozenset({Layer.MDWE}), NOT_DELEGATED, EVERYTHING)
    assert made.layers == {Layer.MDWE}
    assert len(made.describe()) == len(Layer) - 1
    assert made.describe()[0].endswith("--sandbox leaves it out")


def test_without_ids_of_their_own_sessions_share_one() -> None:
    shared = UserIds(UIDS, shared=True)
    assert [shared.take(), shared.take()] == [60707, 60707]
    shared.give_back(60707)
    assert shared.take() == 60707


# --- Landlock ---


def outcomes(files: dict[str, Files], *acts: Callable[[], object], scope: bool = False) -> list[bool]:
    """Which acts succeed in a process that is left these files."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            prctl.set_no_new_privs(1)
            landlock.restrict_files(files, {}, scope=scope)
            for act in acts:
                try:
                    act()
                    os.write(write_end, b"y")
                except PermissionError:
                    os.write(write_end, b"n")
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    assert len(said) == len(acts)
    return [one == "y" for one in said]


@pytest.fixture
def landlock_abi() -> int:
    """The version of Landlock."""
    try:
        return landlock.abi()
    except OSError as error:
        cannot_run_here(f"there is no Landlock: {error.strerror}")
        raise


def test_only_the_files_that_are_left_can_be_used(landlock_abi: int, tmp_path: Path) -> None:
    private, other = tmp_path / "private", tmp_path / "other"
    for directory in (private, other):
        directory.mkdir()
        (directory / "file").write_text("x")
    acts = [
        act
        for directory in (private, other)
        for act in (
            lambda d=directory: (d / "file").read_text(),
            lambda d=directory: (d / "file").write_text("y"),
            lambda d=directory: (d / "new").write_text("z"),
            lambda d=directory: (d / "below").mkdir(),
            lambda d=directory: os.execv(d / "file", ["file"]),
        )
    ]
    everything = {str(private): WORKER_FILES["PRIVATE"]}
    assert outcomes(everything, *acts) == [True, True, True, False, False, *[False] * 5]
    read_only = {str(private): RESOLVER_FILES["/"]}
    assert outcomes(read_only, *acts) == [True, *[False] * 9]
    if landlock_abi < 3:
        cannot_run_here("Landlock does not stop truncation: all else has passed")
    assert (private / "file").read_text() == "y"


def test_signals_stay_inside(landlock_abi: int) -> None:
    if landlock_abi < landlock.SCOPES_SINCE:
        cannot_run_here("Landlock has no scopes")
    parent = os.getppid()
    nothing: dict[str, Files] = {}
    assert outcomes(nothing, lambda: os.kill(parent, 0), lambda: os.kill(os.getpid(), 0), scope=True) == [False, True]
    assert outcomes({"/": RESOLVER_FILES["/"]}, lambda: os.kill(parent, 0)) == [True]
