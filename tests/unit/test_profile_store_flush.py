"""What the profile store flushes to disk, and when: a crash of the machine must not bring back or lose a profile."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ...supervisor.services.profile_store import ProfileStore, StoredProfile

TEXT = b"client\nremote vpn.example.org\n"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to files, as it is done: "flush profiles" of a directory, "flush file", "rename", "unlink"."""
    done: list[str] = []

    def noting(name: str, act: Callable[..., Any], what: Callable[..., str]) -> None:
        def noted(*arguments: Any, **options: Any) -> Any:
            done.append(f"{name} {what(*arguments)}".rstrip())
            return act(*arguments, **options)

        monkeypatch.setattr(os, name, noted)

    def kind(descriptor: int) -> str:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
        return path.name if path.is_dir() else "file"

    noting("fsync", os.fsync, kind)
    noting("rename", os.rename, lambda *_: "")
    noting("unlink", os.unlink, lambda *_, **__: "")
    return done


STORED = ["fsync file", "rename", "fsync profiles"]


@pytest.mark.parametrize("persistent", [True, False])
def test_what_is_to_outlive_a_reboot_is_flushed_before_the_caller_is_told(
    tmp_path: Path, steps: list[str], persistent: bool
) -> None:
    async def run() -> None:
        store = ProfileStore(tmp_path / "run", tmp_path / "state")

        async def add() -> StoredProfile:
            return await store.add("a", TEXT, 1, single_use=False, persistent=persistent)

        profile = await add()
        assert steps == (STORED if persistent else ["rename"])
        steps.clear()
        await store.change(profile, lambda _: {"name": "b"})
        assert steps == (STORED if persistent else ["rename"])
        steps.clear()
        await store.remove(profile)
        # The text first: without what was changed, the profile would be as it was imported.
        assert steps == (["unlink", "fsync profiles", "unlink"] if persistent else ["unlink", "unlink"])

    asyncio.run(run())
