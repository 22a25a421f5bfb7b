"""Settings of profiles that only this session manager knows: the table, what is kept, and what the files may hold."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dbus_fast import Variant

from ...policy.access import Caller
from ...policy.limits import MAX_PROFILES_WITH_SETTINGS, MAX_SETTINGS_FILE
from ...policy.profile.settings import SETTINGS, InvalidSetting, ProfileSettings, in_force, of_profile, read
from ...supervisor.errors import AccessDenied, CallerError
from ...supervisor.logging.log import Log
from ...supervisor.services import settings_files
from ...supervisor.services.profile_settings import SettingsStore
from ...supervisor.services.profiles import Identity, NoProfile

ALICE, BOB = Caller(":1.1", 1000), Caller(":1.2", 1001)
ROOT = Caller(":1.3", 0)
YES, NO = Variant("b", True), Variant("b", False)
DEFAULTS = in_force({})


class Known:
    """The profiles that there are."""

    def __init__(self, *profiles: Identity) -> None:
        self.by_path = {one.path: one for one in profiles}

    async def identify(self, path: str) -> Identity:
        if path not in self.by_path:
            raise NoProfile(path)
        return self.by_path[path]


def profile(number: int = 0, *, owner: int = 1000, imported: int = 1, persistent: bool = True) -> Identity:
    return Identity(path=f"/profile/{number}", owner=owner, imported=imported, persistent=persistent)


def store(directory: Path, *profiles: Identity) -> SettingsStore:
    return SettingsStore(directory / "run", directory / "state", Known(*profiles), Log())


async def plain(made: SettingsStore, caller: Caller, path: str) -> dict[str, Any]:
    return {name: variant.value for name, variant in (await made.get_settings(caller, path)).items()}


def files(directory: Path) -> list[str]:
    return sorted(str(file.relative_to(directory)) for file in directory.rglob("*") if file.is_file())


def test_the_table_and_the_fields_are_the_same() -> None:
    defaults = msgspec.structs.asdict(ProfileSettings())
    assert defaults == {name.replace("-", "_"): row.default for name, row in SETTINGS.items()}
    assert of_profile({}) == ProfileSettings()
    assert of_profile({"dns-required": True, "of-another-release": "x"}) == ProfileSettings(dns_required=True)
    assert in_force({"dns-required": "yes"})["dns-required"] is False
    assert of_profile({"while-not-connected": "closed"}) == ProfileSettings(while_not_connected="closed")
    for value in ("of another release", True):
        assert of_profile({"while-not-connected": value}) == ProfileSettings()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("nonsense\n", YES, r"There is no setting 'nonsense\\n': there are redirect-optional, dns-required"),
        ("dns-required", Variant("s", "yes"), "The setting dns-required is of the D-Bus type b, not 's'"),
        ("while-not-connected", YES, "The setting while-not-connected is of the D-Bus type s, not 'b'"),
        ("while-not-connected", Variant("s", "x\n"), r"while-not-connected can be default, open, closed, not 'x\\n'"),
        ("while-not-connected", Variant("s", ""), "while-not-connected can be default, open, closed, not ''"),
    ],
)
def test_what_is_no_setting(name: str, value: Variant, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        read(name, value.signature, value.value)


def test_they_are_for_the_owner_and_root_and_outlive_the_service(tmp_path: Path) -> None:
    async def main() -> None:
        made = store(tmp_path, profile(0), profile(1, persistent=False))
        await made.set_setting(ALICE, "/profile/0", "dns-required", YES)
        await made.set_setting(ROOT, "/profile/1", "redirect-optional", YES)
        for call in (
            made.get_settings(BOB, "/profile/0"),
            made.set_setting(BOB, "/profile/0", "dns-required", NO),
        ):
            with pytest.raises(AccessDenied, match="/profile/0 is not yours"):
                await call
        with pytest.raises(CallerError, match="No configuration profile at /profile/2"):
            await made.set_setting(ALICE, "/profile/2", "dns-required", YES)
        with pytest.raises(CallerError, match="There is no setting 'x'"):
            await made.set_setting(ALICE, "/profile/0", "x", YES)

        again = store(tmp_path, profile(0), profile(1, persistent=False))
        assert await again.of(profile(0)) == (ProfileSettings(dns_required=True), "")
        assert await plain(again, ROOT, "/profile/0") == {**DEFAULTS, "dns-required": True}
        assert await plain(again, ALICE, "/profile/1") == {**DEFAULTS, "redirect-optional": True}
        assert files(tmp_path) == ["run/settings/1000.json", "state/settings/1000.json"]
        assert (tmp_path / "state/settings/1000.json").stat().st_mode & 0o777 == 0o600
        await again.set_setting(ALICE, "/profile/0", "dns-required", NO)
        assert files(tmp_path) == ["run/settings/1000.json"]

    asyncio.run(main())


def test_a_word_is_kept_until_it_is_the_default_again(tmp_path: Path) -> None:
    async def main() -> None:
        made = store(tmp_path, profile())
        for word in ("closed", "open"):
            await made.set_setting(ALICE, "/profile/0", "while-not-connected", Variant("s", word))
            again = store(tmp_path, profile())
            assert await plain(again, ALICE, "/profile/0") == {**DEFAULTS, "while-not-connected": word}
            assert (await again.of(profile()))[0].while_not_connected == word
            with pytest.raises(CallerError, match="can be default, open, closed, not 'shut'"):
                await made.set_setting(ALICE, "/profile/0", "while-not-connected", Variant("s", "shut"))
        await made.set_setting(ALICE, "/profile/0", "while-not-connected", Variant("s", "default"))
        assert files(tmp_path) == []

    asyncio.run(main())


def test_another_profile_at_the_path_and_another_owner_have_none(tmp_path: Path) -> None:
    async def main() -> None:
        made = store(tmp_path, profile())
        await made.set_setting(ALICE, "/profile/0", "dns-required", YES)
        for other in (profile(imported=2), profile(owner=1001), profile(persistent=False), profile(1)):
            assert await made.of(other) == (ProfileSettings(), "")
        again = store(tmp_path, profile(imported=2))
        await again.set_setting(ALICE, "/profile/0", "redirect-optional", YES)
        assert await again.of(profile(imported=2)) == (ProfileSettings(redirect_optional=True), "")

    asyncio.run(main())


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    """At once where it is told, else when its owner sets something the next time."""

    async def main() -> None:
        profiles = [profile(number) for number in range(4)]
        made = store(tmp_path, *profiles)
        for one in profiles:
            await made.set_setting(ALICE, one.path, "dns-required", YES)
        await made.forget(profiles[0])
        kept = settings_files.load(tmp_path / "state/settings", 1000)
        assert kept.keys() == {"/profile/1", "/profile/2", "/profile/3"}

        later = store(tmp_path, profiles[1], profile(2, imported=7), profile(3, owner=1001), profile(4))
        await later.set_setting(ALICE, "/profile/4", "dns-required", YES)
        assert settings_files.load(tmp_path / "state/settings", 1000).keys() == {"/profile/1", "/profile/4"}
        for one in (profiles[1], profile(4), profile(5)):
            await later.forget(one)
        assert files(tmp_path) == []

    asyncio.run(main())


def test_so_many_profiles_of_a_user_may_have_some(tmp_path: Path) -> None:
    async def main() -> None:
        profiles = [profile(number) for number in range(MAX_PROFILES_WITH_SETTINGS + 1)]
        made = store(tmp_path, *profiles, profile(999, owner=1001))
        directory = tmp_path / "state/settings"
        values = {name: max(row.choices, key=len) if row.choices else True for name, row in SETTINGS.items()}
        longest = settings_files.KeptSettings(1, values)
        kept = {one.path: longest for one in profiles[1:]}
        settings_files.write(directory, 1000, kept, durable=False)
        with pytest.raises(CallerError, match="200 profiles of a user may have settings"):
            await made.set_setting(ALICE, "/profile/0", "dns-required", YES)
        await made.set_setting(BOB, "/profile/999", "dns-required", YES)
        await made.set_setting(ALICE, "/profile/0", "dns-required", NO)
        for name, row in SETTINGS.items():
            await made.set_setting(ALICE, "/profile/1", name, Variant(row.type, row.default))
        await made.set_setting(ALICE, "/profile/0", "dns-required", YES)
        # With the paths that profiles have, as many fit.
        kept = {f"/net/openvpn/v3/configuration/{number:036}": longest for number in range(MAX_PROFILES_WITH_SETTINGS)}
        assert len(msgspec.json.encode(kept)) <= MAX_SETTINGS_FILE
        long = {f"/{'x' * MAX_SETTINGS_FILE}": longest}
        with pytest.raises(CallerError):
            settings_files.write(directory, 1000, long, durable=False)

    asyncio.run(main())


@pytest.mark.parametrize("content", [b"", b"[]", b'{"/profile/0": {}}', b"\xff", b" " * (MAX_SETTINGS_FILE + 1), None])
def test_a_damaged_file_is_told_of_until_one_is_set_again(tmp_path: Path, content: bytes | None) -> None:
    async def main() -> None:
        file = tmp_path / "state/settings/1000.json"
        file.parent.mkdir(parents=True)
        if content is None:
            file.symlink_to(tmp_path / "elsewhere.json")
            (tmp_path / "elsewhere.json").write_bytes(b'{"/profile/0":{"imported":1,"values":{"dns-required":true}}}')
        else:
            file.write_bytes(content)
        made = store(tmp_path, profile())
        for _ in range(2):
            settings, trouble = await made.of(profile())
            assert settings == ProfileSettings() and "cannot be read" in trouble
        assert await plain(made, ALICE, "/profile/0") == in_force({})
        await made.forget(profile())
        if content is None:
            with pytest.raises(CallerError, match="cannot be stored"):
                await made.set_setting(ALICE, "/profile/0", "dns-required", YES)
        else:
            await made.set_setting(ALICE, "/profile/0", "dns-required", YES)
            assert await made.of(profile()) == (ProfileSettings(dns_required=True), "")

    asyncio.run(main())


def test_what_others_releases_know_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        directory = tmp_path / "state/settings"
        values: dict[str, bool | str] = {"of-another-release": "some"}
        settings_files.write(directory, 1000, {"/profile/0": settings_files.KeptSettings(1, values)}, durable=True)
        made = store(tmp_path, profile())
        await made.set_setting(ALICE, "/profile/0", "dns-required", YES)
        await made.set_setting(ALICE, "/profile/0", "dns-required", NO)
        assert settings_files.load(directory, 1000)["/profile/0"].values == values

    asyncio.run(main())


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        made = store(tmp_path, profile())

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(settings_files, "replace_file", full)
        with pytest.raises(CallerError, match=r"cannot be stored .*No space left on device"):
            await made.set_setting(ALICE, "/profile/0", "dns-required", YES)
        assert await made.of(profile()) == (ProfileSettings(), "")

    asyncio.run(main())
