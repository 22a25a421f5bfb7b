"""Credentials as systemd gives them to a unit: in a directory that only the unit's user may enter."""

import shutil
from pathlib import Path

from ..lab.connection import SESSIONS_PATH, SETTINGS, BusClient
from ..lab.lab import Lab
from ..lab.surroundings import ACCOUNTS


class GivenCredentials:
    """Those of a unit that runs as `user`; `environment` is what systemd sets for it."""

    def __init__(self, lab: Lab, user: str) -> None:
        self._directory: Path = lab.directory / f"credentials-{user.strip('_')}"
        self._directory.mkdir(mode=0o500)
        self._user = ACCOUNTS[user].uid
        shutil.chown(self._directory, self._user)
        self.environment = {"CREDENTIALS_DIRECTORY": str(self._directory)}

    def give(self, names: dict[str, str], **answers: str | bytes) -> None:
        """Give credentials for these questions, by their names."""
        for question, answer in answers.items():
            file = self._directory / names[question]
            file.unlink(missing_ok=True)
            file.write_bytes(answer if isinstance(answer, bytes) else answer.encode())
            file.chmod(0o400)
            shutil.chown(file, self._user)


def asked(user: BusClient, profile: str) -> list[tuple[str, str, bool]]:
    """What a profile asks: label, name of the credential, whether the service has it."""
    rows = user.call(SESSIONS_PATH, SETTINGS, "GetCredentials", "o", profile)
    return [(label, name, there) for label, name, there in rows]


def credential_names(user: BusClient, profile: str) -> dict[str, str]:
    """The names of the credentials for a profile, by their questions."""
    return {name.rpartition(".")[2]: name for _, name, _ in asked(user, profile)}
