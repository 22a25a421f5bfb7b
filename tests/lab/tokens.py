"""PKCS#11 tokens in software (SoftHSM), as an administrator would set them up for sessions."""

import grp
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ...policy.profile.pkcs11 import token_label
from . import kernel
from .pki import Identity
from .processes import LabError
from .surroundings import TOKEN_GROUP

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
CONFIGURATION = Path("/etc/softhsm/softhsm2.conf")
_SO_PIN = "87654321"  # of the security officer, who makes tokens


@dataclass(frozen=True)
class Token:
    """One token; `identities` are what a profile's pkcs11-id names its certificates by."""

    label: str
    pin: str
    identities: tuple[str, ...]


class Tokens:
    """All tokens of the client's machine.  Only root and the group TOKEN_GROUP may read their files."""

    def __init__(self, directory: Path) -> None:
        """`directory` is a new one for their files."""
        self.directory = directory / "tokens"
        self.directory.mkdir(parents=True)
        self._scratch = directory / "scratch"
        self._scratch.mkdir(mode=0o700)
        settings = directory / "etc"
        settings.mkdir()
        (settings / CONFIGURATION.name).write_text(
            f"directories.tokendir = {self.directory}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        if not CONFIGURATION.parent.is_dir():
            raise LabError(f"{CONFIGURATION.parent} is missing. Cure: apt-get install softhsm2")
        kernel.bind(settings, CONFIGURATION.parent)
        self._share(settings)

    def close(self) -> None:
        """Give the usual configuration its place back."""
        kernel.unmount(CONFIGURATION.parent)

    @property
    def option(self) -> str:
        """The option of the service that lists these tokens as the provider `soft`."""
        return f"--pkcs11-provider=soft={MODULE},{CONFIGURATION},{self.directory},group={TOKEN_GROUP}"

    def add(self, label: str, pin: str, *identities: Identity) -> Token:
        """A new token with these keys and certificates on it."""
        init = ("--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", _SO_PIN)
        _run("softhsm2-util", *init)
        for number, identity in enumerate(identities, 1):
            self._write("key", identity.key, label, pin, number)
            self._write("certificate", identity.certificate, label, pin, number)
        self._share(self.directory)
        found = re.findall(r"Serialized id:\s+(\S+)", _run("openvpn", "--show-pkcs11-ids", MODULE))
        mine = sorted(one for one in found if token_label(one) == label)
        if len(mine) != len(identities):
            raise LabError(f"the token {label} has the certificates {mine}, not {len(identities)}")
        return Token(label, pin, tuple(mine))

    def _write(self, kind: str, text: str, label: str, pin: str, number: int) -> None:
        source = self._scratch / kind
        source.write_text(text)
        name = f"{number:02x}"
        if kind == "key":
            key = ("--import", str(source), "--label", name, "--id", name)
            _run("softhsm2-util", "--token", label, "--pin", pin, *key)
            return
        encoded = source.with_suffix(".der")
        _run("openssl", "x509", "-in", str(source), "-outform", "DER", "-out", str(encoded))
        what = ("--write-object", str(encoded), "--type", "cert", "--id", name, "--label", name)
        _run("pkcs11-tool", "--module", MODULE, "--token-label", label, "--login", "--pin", pin, *what)

    def _share(self, directory: Path) -> None:
        """Let the group read `directory`: SoftHSM makes its files for their owner only."""
        gid = grp.getgrnam(TOKEN_GROUP).gr_gid
        for place, _, names in os.walk(directory):
            os.chown(place, 0, gid)
            Path(place).chmod(0o750)
            for name in names:
                os.chown(Path(place) / name, 0, gid)
                (Path(place) / name).chmod(0o640)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
