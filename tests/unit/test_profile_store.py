"""The profile store on real files: what survives, what is refused, what is moved aside."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ...policy import limits
from ...policy.quotas import Quotas
from ...supervisor.errors import CallerError, NoSuchObject
from ...supervisor.services.profile_quota import FileSystem, ProfileQuota
from ...supervisor.services.profile_store import ProfileStore, StoredProfile
from ..support.skipping import cannot_run_here

TEXT = "client\ndev tun\nremote vpn.example.org # größer\n".encode()


def store_in(directory: Path) -> ProfileStore:
    return ProfileStore(directory / "run", directory / "state")


async def loaded(directory: Path) -> tuple[ProfileStore, list[str]]:
    store = store_in(directory)
    return store, await store.load()


def files(directory: Path) -> list[Path]:
    return sorted(file for file in directory.rglob("*") if file.is_file())


def test_both_kinds_come_back_verbatim_in_a_new_process(tmp_path: Path) -> None:
    async def run() -> None:
        store = store_in(tmp_path)
        kept = await store.add("on disk", TEXT, 1000, single_use=False, persistent=True)
        passing = await store.add("until reboot", b"\n\r\nno newline at end", 1001, single_use=True, persistent=False)
        await store.change(kept, lambda metadata: {"used_count": metadata.used_count + 2, "tags": ("home",)})

        again, notes = await loaded(tmp_path)
        assert notes == []
        assert again.profiles.keys() == {kept.path, passing.path}
        found = again.find(kept.path)
        assert (found.metadata.name, found.metadata.owner, found.persistent) == ("on disk", 1000, True)
        assert (found.metadata.used_count, found.metadata.tags) == (2, ("home",))
        assert await again.text(found, 1000) == TEXT
        assert await again.text(again.find(passing.path), 1) == b"\n\r\nno newline at end"
        assert not again.find(passing.path).persistent

    asyncio.run(run())


def test_paths_and_modes(tmp_path: Path) -> None:
    async def run() -> StoredProfile:
        return await store_in(tmp_path).add("a", TEXT, 1, single_use=False, persistent=True)

    old = os.umask(0)
    try:
        profile = asyncio.run(run())
    finally:
        os.umask(old)
    last = profile.path.removeprefix("/net/openvpn/v3/configuration/")
    assert len(last) == 36 and last.count("x") == 4 and "-" not in last
    assert stat.S_IMODE(profile.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(profile.file.parent.stat().st_mode) == 0o700
    assert files(tmp_path / "run") == []


def test_removed_is_gone_for_good(tmp_path: Path) -> None:
    async def run() -> None:
        store = store_in(tmp_path)
        profile = await store.add("a", TEXT, 1, single_use=False, persistent=True)
        await store.remove(profile)
        for attempt in (store.remove(profile), store.change(profile, lambda _: {"name": "b"})):
            with pytest.raises(NoSuchObject):
                await attempt
        with pytest.raises(NoSuchObject):
            store.find(profile.path)
        assert files(tmp_path) == []

    asyncio.run(run())


def test_changes_at_the_same_time_all_count(tmp_path: Path) -> None:
    async def run() -> None:
        store = store_in(tmp_path)
        profile = await store.add("a", TEXT, 1, single_use=True, persistent=False)
        await asyncio.gather(
            *(store.change(profile, lambda metadata: {"used_count": metadata.used_count + 1}) for _ in range(20))
        )
        assert profile.metadata.used_count == 20
        again, _ = await loaded(tmp_path)
        assert again.find(profile.path).metadata.used_count == 20
        assert await again.text(again.find(profile.path), 1) == TEXT

    asyncio.run(run())


def test_a_user_cannot_have_more_than_the_limit_even_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        store = store_in(tmp_path)
        surplus = 3
        results = await asyncio.gather(
            *(
                store.add(f"p{number}", b"client\n", 1, single_use=True, persistent=False)
                for number in range(limits.MAX_PROFILES_PER_USER + surplus)
            ),
            return_exceptions=True,
        )
        refusals = [result for result in results if isinstance(result, CallerError)]
        assert len(refusals) == surplus and "remove one first" in str(refusals[0])
        await store.add("somebody else's", b"client\n", 2, single_use=True, persistent=False)

    asyncio.run(run())


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:-1], id="cut short"),
        pytest.param(lambda data: data[:20], id="cut in the metadata"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"\0" * len(data), id="zeroes"),
        pytest.param(lambda data: data + b"x", id="too long"),
        pytest.param(lambda data: b"\xff" + data, id="not JSON"),
        pytest.param(lambda data: b'{"name": 5}\n', id="wrong type"),
        pytest.param(lambda data: b"a" * 200_000, id="endless first line"),
    ],
)
def test_damaged_files_are_moved_aside_and_the_others_served(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # lambdas
    async def run() -> None:
        store = store_in(tmp_path)
        bad = await store.add("bad", TEXT, 1, single_use=False, persistent=True)
        good = await store.add("good", TEXT, 1, single_use=False, persistent=True)
        content = damage(bad.file.read_bytes())
        bad.file.write_bytes(content)
        with pytest.raises(CallerError, match="damaged"):
            await store.text(bad, 1)

        again, notes = await loaded(tmp_path)
        assert again.profiles.keys() == {good.path}
        assert len(notes) == 1 and str(bad.file) in notes[0] and "damaged" in notes[0]
        aside = bad.file.with_name(f"damaged-{bad.file.name}")
        assert aside.read_bytes() == content and not bad.file.exists()
        assert (await loaded(tmp_path))[1] == []

    asyncio.run(run())


def test_what_is_not_a_profile_is_left_alone_or_named(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "profiles"
    directory.mkdir(parents=True)
    (directory / "README").write_text("hello")
    (directory / "secret").write_text("x")
    (directory / "0e4a8f2e-0000-4000-8000-000000000000.profile").symlink_to(directory / "secret")
    (directory / "mine.profile").write_text("client\n")
    os.mkfifo(directory / "0e4a8f2e-0000-4000-8000-000000000001.profile")
    store, notes = asyncio.run(loaded(tmp_path))
    assert not store.profiles and len(notes) == 3
    assert (directory / "README").exists() and (directory / "damaged-mine.profile").exists()


# Runs in a process of its own; PHASE says at which point it is killed with SIGKILL.
_KILLED_WRITER = """
import asyncio, os, signal, sys
from pathlib import Path
from openvpn3_sessionmgr.supervisor.services.profile_store import ProfileStore

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def run(phase):
    directory = Path(sys.argv[1])
    store = ProfileStore(directory / "run", directory / "state")
    await store.load()
    if phase == "import":
        Path.rename = die
        await store.add("new", b"client\\n", 1, single_use=False, persistent=True)
    else:
        (profile,) = store.profiles.values()
        if phase == "change":
            Path.rename = die
        else:
            os.fsync = die
        await store.change(profile, lambda metadata: {"name": "changed"})

asyncio.run(run(sys.argv[2]))
"""


@pytest.mark.parametrize("phase", ["import", "change", "flush"])
def test_killed_between_write_and_rename(phase: str, tmp_path: Path) -> None:
    async def before() -> str:
        return (await store_in(tmp_path).add("old", TEXT, 1, single_use=False, persistent=True)).path

    path = asyncio.run(before())
    killed = subprocess.run([sys.executable, "-c", _KILLED_WRITER, str(tmp_path), phase], timeout=30)
    assert killed.returncode == -signal.SIGKILL
    assert len(files(tmp_path)) == 2, "the writer was not killed half-way"

    async def after() -> None:
        store, notes = await loaded(tmp_path)
        assert notes == [] and store.profiles.keys() == {path}
        assert store.find(path).metadata.name == "old" and await store.text(store.find(path), 1) == TEXT
        assert files(tmp_path) == [store.find(path).file], "the half-written file stays for ever"

    asyncio.run(after())


def test_what_a_user_may_take_in_one_place(tmp_path: Path) -> None:
    """Imports at once count, too; another user and the other place have their own; what is removed counts no more."""
    size = 1024 * 1024
    fit = limits.PROFILES_IN_MEMORY_PER_USER // (size + limits.PROFILE_OVERHEAD)

    async def run() -> None:
        store = store_in(tmp_path)

        async def add(owner: int, persistent: bool = False) -> StoredProfile:
            return await store.add("a", b"#" * size, owner, single_use=False, persistent=persistent)

        results = await asyncio.gather(*(add(1) for _ in range(fit + 3)), return_exceptions=True)
        refused = {str(one) for one in results if isinstance(one, CallerError)}
        assert sum(isinstance(one, CallerError) for one in results) == 3
        assert len(refused) == 1 and "profiles in memory take 15.2 MiB" in (text := refused.pop())
        assert "the 16.0 MiB that each user has: remove one first, or import it as a persistent one" in text
        await add(1, persistent=True)
        await add(2)
        profile = next(one for one in results if isinstance(one, StoredProfile))
        await store.remove(profile)
        await add(1)
        with pytest.raises(CallerError, match="each user has"):
            await add(1)

    asyncio.run(run())


def test_a_user_gets_no_more_than_others_leave_free(tmp_path: Path) -> None:
    size = 1024 * 1024

    async def run() -> list[int]:
        store = store_in(tmp_path)
        counts = []
        for owner in range(8):
            results = await asyncio.gather(
                *(store.add("a", b"#" * size, owner, single_use=False, persistent=False) for _ in range(20)),
                return_exceptions=True,
            )
            counts.append(sum(isinstance(one, StoredProfile) for one in results))
            refused = {str(one) for one in results if isinstance(one, CallerError)}
            assert refused and all("each user has" in one or "no user gets more" in one for one in refused)
        return counts

    counts = asyncio.run(run())
    assert counts == sorted(counts, reverse=True) and counts[0] == 15 and counts[-1] >= 1


def test_root_may_give_a_user_more_and_what_is_there_stays(tmp_path: Path) -> None:
    async def run() -> None:
        store = store_in(tmp_path)
        profile = await store.add("a", TEXT, 1, single_use=False, persistent=True)
        again, notes = await loaded(tmp_path)
        again.quotas = Quotas(profiles_per_user=1, disk_per_user=1)
        kept = again.find(profile.path)
        assert notes == [] and await again.text(kept, 1) == TEXT
        await again.change(kept, lambda _: {"owner": 2})
        await again.change(kept, lambda _: {"name": "b"})
        assert kept.metadata.owner == 2 and kept.metadata.name == "b"
        await again.remove(kept)

    asyncio.run(run())


def test_whose_profiles_are_listed(tmp_path: Path) -> None:
    async def run() -> None:
        store = store_in(tmp_path)
        first, second, third = [
            await store.add(name, TEXT, owner, single_use=False, persistent=True)
            for name, owner in (("first", 1), ("second", 1), ("third", 2))
        ]

        def listed(uid: int) -> list[str]:
            return [profile.metadata.name for profile in store.usable_by(uid)]

        assert (listed(1), listed(2), listed(3)) == (["first", "second"], ["third"], [])
        await store.change(second, lambda _: {"granted": (2, 3)})
        await store.change(third, lambda _: {"public": True})
        assert (listed(1), listed(2), listed(3)) == (
            ["first", "second", "third"],
            ["second", "third"],
            ["second", "third"],
        )
        again, _ = await loaded(tmp_path)
        assert {profile.path for profile in again.usable_by(3)} == {second.path, third.path}
        await store.change(second, lambda _: {"granted": (3,), "owner": 2})
        await store.change(third, lambda _: {"public": False})
        assert (listed(1), listed(2), listed(3)) == (["first"], ["second", "third"], ["second"])
        for profile in (first, second, third):
            await store.remove(profile)
        assert listed(1) == listed(2) == listed(3) == []

    asyncio.run(run())


def test_a_change_writes_no_text(tmp_path: Path) -> None:
    async def run() -> None:
        store = store_in(tmp_path)
        profile = await store.add("a", TEXT, 1, single_use=False, persistent=True)
        before = profile.file.stat()
        await store.change(profile, lambda _: {"granted": (7,)})
        await store.change(profile, lambda _: {"granted": ()})
        assert profile.file.stat() == before
        again, _ = await loaded(tmp_path)
        assert again.find(profile.path).metadata == profile.metadata
        await again.remove(again.find(profile.path))
        assert files(tmp_path) == []

    asyncio.run(run())


def test_a_file_that_holds_what_was_changed_as_well(tmp_path: Path) -> None:
    """As earlier versions wrote it at each change."""
    directory = tmp_path / "state" / "profiles"
    directory.mkdir(parents=True)
    line = {
        "name": "old",
        "owner": 1,
        "size": len(TEXT),
        "imported": 5,
        "used_count": 3,
        "tags": ["x" * 3],
        "granted": [9],
    }
    (directory / "0e4a8f2e-0000-4000-8000-000000000000.profile").write_bytes(json.dumps(line).encode() + b"\n" + TEXT)

    async def run() -> None:
        store, notes = await loaded(tmp_path)
        (profile,) = store.profiles.values()
        assert notes == [] and (profile.metadata.used_count, profile.metadata.granted) == (3, (9,))
        await store.change(profile, lambda _: {"granted": ()})
        again, notes = await loaded(tmp_path)
        assert notes == [] and again.find(profile.path).metadata == profile.metadata

    asyncio.run(run())


@pytest.mark.parametrize("content", [b"", b"{", b'{"name": "a", "owner": 1, "size": 5, "imported": 1}'])
def test_what_was_changed_is_damaged(content: bytes, tmp_path: Path) -> None:
    """The profile is not served as it was imported: it may have been shared then."""

    async def run() -> None:
        store = store_in(tmp_path)
        profile = await store.add("a", TEXT, 1, single_use=False, persistent=True)
        await store.change(profile, lambda _: {"name": "b"})
        profile.file.with_suffix(".metadata").write_bytes(content)
        again, notes = await loaded(tmp_path)
        assert not again.profiles and len(notes) == 1 and "changed metadata" in notes[0]
        assert [file.name[:8] for file in files(tmp_path)] == ["damaged-"] * 2
        assert await loaded(tmp_path) and len(files(tmp_path)) == 2

    asyncio.run(run())


def test_a_removal_that_was_interrupted(tmp_path: Path) -> None:
    async def run() -> None:
        store = store_in(tmp_path)
        profile = await store.add("a", TEXT, 1, single_use=False, persistent=True)
        await store.change(profile, lambda _: {"name": "b"})
        profile.file.unlink()
        again, notes = await loaded(tmp_path)
        assert not again.profiles and notes == [] and files(tmp_path) == []

    asyncio.run(run())


# Runs in a mount namespace of its own, as root: the tmpfs goes with it.
_FULL_AND_READ_ONLY = """
import asyncio, os, subprocess, sys
from pathlib import Path
from openvpn3_sessionmgr.supervisor.errors import CallerError
from openvpn3_sessionmgr.supervisor.services.profile_store import ProfileStore

directory = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1024k", "tmpfs", directory], check=True)
TEXT = b"client\\n" * 2000

def expect(error_text, attempt):
    async def run():
        try:
            await attempt
        except CallerError as error:
            assert error_text in str(error), error
        else:
            sys.exit(f"no error, but {error_text} was expected")
    return run()

def files():
    return sorted(directory.rglob("*.profile"))

async def run():
    store = ProfileStore(directory / "run", directory / "state")

    def add(text):
        return store.add("new", text, 1, single_use=False, persistent=True)

    profile = await add(TEXT)
    await store.change(profile, lambda metadata: {"name": "first"})
    await expect("those of all users take 29 KiB of 256 KiB", add(TEXT * 14))
    (directory / "ballast").write_bytes(b"x" * 756_000)
    await expect("which 128 KiB are kept for sessions", add(TEXT * 9))
    assert files() == [profile.file]
    (directory / "more").write_bytes(b"x" * 190_000)
    await store.change(profile, lambda metadata: {"name": "first"})
    (directory / "yet more").write_bytes(b"x" * 20_000)
    before = files()
    await expect("can only be removed", store.change(profile, lambda metadata: {"name": "second"}))
    assert profile.metadata.name == "first" and await store.text(profile, 1) == TEXT
    assert files() == before, "a half-written file was left"

    (directory / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
    await expect("Read-only file system", store.add("new", b"client", 1, single_use=False, persistent=True))
    await expect("Read-only file system", store.change(profile, lambda metadata: {"name": "second"}))
    await expect("Read-only file system", store.remove(profile))
    again = ProfileStore(directory / "run", directory / "state")
    assert await again.load() == []
    assert again.find(profile.path).metadata.name == "first" and await again.text(profile, 1) == TEXT
    assert store.find(profile.path) is profile

asyncio.run(run())
"""


def test_full_and_read_only_disks_leave_the_old_state(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        cannot_run_here("it takes root to mount a small tmpfs")
    ran = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", _FULL_AND_READ_ONLY, str(tmp_path)],
        timeout=30,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr


def test_what_is_left_free_in_a_small_file_system(tmp_path: Path) -> None:
    """What is being written counts as written."""
    mib = 1024 * 1024
    quota = ProfileQuota(tmp_path, persistent=False)
    quota.check(1, 4 * mib, FileSystem(100 * mib, 17 * mib))
    with pytest.raises(CallerError, match=r"16\.0 MiB are free, of which 12\.5 MiB are kept for sessions"):
        quota.check(1, 4 * mib, FileSystem(100 * mib, 16 * mib))
    quota.under_way = 4 * mib
    with pytest.raises(CallerError, match="is nearly full"):
        quota.check(1, 4 * mib, FileSystem(100 * mib, 17 * mib))
    quota.check(1, 4 * mib, FileSystem(10_000 * mib, 41 * mib))
