"""The credentials that systemd has given to the service's unit, for sessions that it starts by itself.

They are read when they are needed, each time: systemd keeps them in memory that only the service's account may read.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ...policy.limits import MAX_INPUT
from ...policy.profile.bound_credentials import DIRECTORY, answer_in, credential_name
from ..errors import SystemFailure
from ..files import read_small_file


class Credentials:
    """Those of the unit; none where systemd has not started the service."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        where = environment.get(DIRECTORY, "")
        self._directory = Path(where) if where.startswith("/") else None

    def answers(self, fingerprint: str, questions: Iterable[str]) -> dict[str, str]:
        """The answers to questions of a profile with this fingerprint, by their names; those that there are.  Blocks.

        Raises SystemFailure, which names the credential that cannot be used.
        """
        found = {}
        for question in questions:
            name = credential_name(fingerprint, question)
            if not name or self._directory is None:
                continue
            try:
                found[question] = answer_in(read_small_file(self._directory / name, MAX_INPUT + len("\r\n")))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise SystemFailure(f"The credential {name} cannot be read: {error.strerror}") from error
            except ValueError as error:
                raise SystemFailure(f"The credential {name} cannot be used: {error}") from None
        return found
