"""The options that are in force: of the command line, else of files, else their defaults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..dns import BackEnd
from ..profile.pkcs11 import Provider
from ..quotas import Quotas
from ..redirect import WhileNotConnected
from ..rights import Right, Rule
from ..sandbox.layers import Layer
from .option import Option
from .table import OPTIONS

Who = tuple[str, ...]


class Setting(msgspec.Struct, frozen=True):
    """What was chosen for an option, and where: "redirect in /etc/…", "--redirect"."""

    value: Any
    source: str


class Options(msgspec.Struct, frozen=True):
    """The options, a field for each row of the table; times in seconds, sizes in bytes."""

    config_dir: Path
    start_sessions: Who
    redirect: Who
    dns: Who
    dns_global: Who
    kill_switch: Who
    max_sessions: int
    max_sessions_per_user: int
    max_profiles_per_user: int
    profile_disk_per_user: int
    profile_memory_per_user: int
    connect_timeout: float
    process_titles: Literal["full", "plain"]
    session_uids: range
    sandbox: str | frozenset[Layer]  # "available", "strict", or exactly these
    pkcs11_providers: tuple[Provider, ...]
    stopped_grace: float  # 0: for ever
    look_interval: float
    public_networks: Literal["allow", "refuse"]
    device_names: tuple[str, ...]
    dns_backend: BackEnd
    redirect_rules: int  # the first priority
    redirect_tables: int  # the first one
    redirect_mark: int  # one bit
    while_not_connected: WhileNotConnected
    kill_switch_allow: tuple[str, ...]  # networks
    log_level: int
    log_file: str | None
    colour: bool
    idle_exit: float  # 0: never
    bus_wait: float  # 0: for ever
    configuration: Literal["auto", "embedded", "external"]
    engine: Path
    state_dir: Path
    runtime_dir: Path
    unlock: bool  # nothing else
    clean_up: bool  # the same
    sources: dict[str, str] = {}  # by name of the option: where it was chosen; for those that were

    @property
    def rights(self) -> dict[Right, Rule]:
        """For whom each right is."""
        return {
            right: Rule(getattr(self, right.replace("-", "_")), self.sources.get(right.value, "")) for right in Right
        }

    @property
    def quotas(self) -> Quotas:
        """How much each user, and all, may have."""
        return Quotas(
            self.max_sessions,
            self.max_sessions_per_user,
            self.max_profiles_per_user,
            self.profile_disk_per_user,
            self.profile_memory_per_user,
        )


def combined(command_line: Mapping[str, Setting], files: Mapping[str, Setting]) -> Options:
    """The options in force; what is chosen is given by the names of options."""
    chosen = {**files, **command_line}
    values = {
        option.attribute: chosen[option.name].value if option.name in chosen else default(option) for option in OPTIONS
    }
    return Options(**values, sources={name: setting.source for name, setting in chosen.items()})


def default(option: Option) -> Any:
    """The value of an option that nobody has chosen."""
    return option.unset if option.default is None else option.kind.of_text(option.default)


def differing(before: Options, after: Options) -> list[Option]:
    """The options that have another value."""
    return [one for one in OPTIONS if getattr(before, one.attribute) != getattr(after, one.attribute)]
