"""The PKCS#11 providers that the administrator lists, and whether they can be used."""

import grp
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ...ipc.helpers import StagedProvider
from ...policy.profile.pkcs11 import ListedProvider, Provider


def join_groups(providers: Sequence[Provider]) -> None:
    """Join the groups of the providers, beside those that this process is in; what it starts joins them too.

    So root without CAP_DAC_OVERRIDE sees the files that their sessions will see.
    """
    groups = {gid for provider in providers if (gid := _gid(provider.group)) is not None}
    if groups:
        os.setgroups(sorted({*os.getgroups(), *groups}))


class ListedProviders:
    """All of them, by number; examined once, when the workers' root directory is built."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        """Call while still root, after `join_groups`."""
        self.listed = tuple(ListedProvider(one.name, one.module, _problem(one)) for one in providers)
        self.staged = tuple(
            StagedProvider(()) if seen.problem else StagedProvider((one.module, *one.paths), _gid(one.group))
            for one, seen in zip(providers, self.listed, strict=True)
        )

    @property
    def groups(self) -> int | None:
        """How many groups there are that a worker may join for them; None if there is no provider to be used."""
        if not any(provider.places for provider in self.staged):
            return None
        return len({provider.gid for provider in self.staged} - {None})


def _problem(provider: Provider) -> str:
    for path in (provider.module, *provider.paths):
        try:
            found = Path(path).stat()
        except OSError as error:
            return f"{path} did not exist at service start ({error.strerror}); correct that and restart the service"
        if path == provider.module and not stat.S_ISREG(found.st_mode):
            return f"its module {path} is not a file"
    if provider.group and _gid(provider.group) is None:
        return f"the group {provider.group} did not exist at service start; add it and restart the service"
    return ""


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid if group else None
    except KeyError:
        return None
