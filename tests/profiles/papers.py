"""What the samples name as @NAME@: certificates and keys, made anew in each run."""

import functools
import hashlib
import re
import secrets
import subprocess
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ..lab.pki import Pki

PASSPHRASE = "box"  # of keys that have one
_NAMED = re.compile(r"@([a-z0-9-]+)(\.pem)?@")


class Papers:
    """Fills in the texts of samples.

    @ca@ is a block <ca>…</ca>, and @ca.pem@ what is in it; @papers@ are the blocks of authority, certificate and key.
    """

    def __init__(self, pki: Pki) -> None:
        self._pki = pki

    def filled(self, text: str) -> str:
        """`text` with the papers that it names.  KeyError for a name that there is not."""
        return _NAMED.sub(lambda found: self._paper(found[1], bare=bool(found[2])), text)

    def pkcs12(self) -> bytes:
        """Certificate, key and authority as a PKCS#12 file."""
        return self._pki.client.pkcs12_file(PASSPHRASE, self._pki.authority.certificate)

    def _paper(self, name: str, *, bare: bool) -> str:
        if name == "papers":
            return "\n".join(self._paper(one, bare=False) for one in ("ca", "cert", "key"))
        if name == "server-fingerprint":
            return _fingerprint(self._pki.server.certificate)
        text = self._texts[name].strip()
        block = name.removesuffix("-old-encrypted").removesuffix("-encrypted").removesuffix("-server")
        return text if bare else f"<{block}>\n{text}\n</{block}>"

    @functools.cached_property
    def _texts(self) -> dict[str, str]:
        client = self._pki.client
        static = _static_key()
        server_v2, client_v2 = _tls_crypt_v2()
        return {
            "ca": self._pki.authority.certificate,
            "cert": client.certificate,
            "key": client.key,
            "key-encrypted": client.encrypted(PASSPHRASE).key,
            "key-old-encrypted": client.encrypted(PASSPHRASE, traditional=True).key,
            "pkcs12": client.pkcs12(PASSPHRASE),
            "crl-verify": self._pki.authority.revoked(),
            "tls-auth": static,
            "tls-crypt": static,
            "secret": static,
            "tls-crypt-v2": client_v2,
            "tls-crypt-v2-server": server_v2,
        }


def _static_key() -> str:
    digits = secrets.token_hex(256)
    lines = [digits[at : at + 32] for at in range(0, len(digits), 32)]
    return "\n".join(["-----BEGIN OpenVPN Static key V1-----", *lines, "-----END OpenVPN Static key V1-----"])


def _tls_crypt_v2() -> tuple[str, str]:
    """A server's key, and a client's made from it."""
    with tempfile.TemporaryDirectory() as place:
        server, client = Path(place, "server"), Path(place, "client")
        for more in (
            ["--genkey", "tls-crypt-v2-server", str(server)],
            ["--tls-crypt-v2", str(server), "--genkey", "tls-crypt-v2-client", str(client)],
        ):
            subprocess.run(["/usr/sbin/openvpn", *more], check=True, stdout=subprocess.DEVNULL)
        return server.read_text(), client.read_text()


def _fingerprint(certificate: str) -> str:
    raw = x509.load_pem_x509_certificate(certificate.encode()).public_bytes(Encoding.DER)
    return hashlib.sha256(raw).digest().hex(":").upper()
