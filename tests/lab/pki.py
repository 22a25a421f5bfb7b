"""Certificates made for one run: a CA, good and bad servers and clients, and somebody else's CA."""

import base64
import datetime
import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as PEM texts."""

    certificate: str
    key: str

    def encrypted(self, passphrase: str, *, traditional: bool = False) -> "Identity":
        """The same with its key encrypted, as PKCS#8 or in OpenSSL's older form ("Proc-Type: 4,ENCRYPTED")."""
        kind = serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
        text = self._private_key().private_bytes(serialization.Encoding.PEM, kind, encryption)
        return Identity(self.certificate, text.decode())

    def pkcs12(self, passphrase: str) -> str:
        """Both as a PKCS#12 container, in the form of a profile's <pkcs12> block."""
        return base64.encodebytes(self.pkcs12_file(passphrase)).decode()

    def pkcs12_file(self, passphrase: str, authority: str = "") -> bytes:
        """Both as a PKCS#12 container, with the certificate of `authority` if one is given."""
        certificate = x509.load_pem_x509_certificate(self.certificate.encode())
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            encryption = serialization.BestAvailableEncryption(passphrase.encode())
        others = [x509.load_pem_x509_certificate(authority.encode())] if authority else None
        return pkcs12.serialize_key_and_certificates(b"lab", self._private_key(), certificate, others, encryption)

    def _private_key(self) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key(self.key.encode(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key


class Authority:
    """A certification authority with an elliptic key: an identity takes about a millisecond."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _distinguished(name)
        self._certificate = self._sign(self._name, self._key.public_key(), None, expired=False)

    @property
    def certificate(self) -> str:
        """Its own certificate."""
        return _pem(self._certificate)

    def issue(self, name: str, *, server: bool = False, expired: bool = False, passphrase: str = "") -> Identity:
        """A new identity for a server or a client; `passphrase` encrypts the key."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = self._sign(_distinguished(name), key.public_key(), usage, expired=expired)
        plain = serialization.NoEncryption()
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        made = Identity(_pem(certificate), text.decode())
        return made.encrypted(passphrase) if passphrase else made

    def revoked(self, *identities: Identity, expired: bool = False) -> str:
        """A list of certificates that it takes back."""
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(now - 10 * _DAY)
        builder = builder.next_update(now - _DAY if expired else now + 10 * _DAY)
        for one in identities:
            serial = x509.load_pem_x509_certificate(one.certificate.encode()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - _DAY).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        usage: x509.ObjectIdentifier | None,
        *,
        expired: bool,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        authority = usage is None
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * _DAY)
            .not_valid_after(now - _DAY if expired else now + 10 * _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not authority, key_cert_sign=authority, crl_sign=authority,
                    content_commitment=False, key_encipherment=False, data_encipherment=False,
                    key_agreement=not authority, encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
        )  # fmt: skip
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def weak_identity(directory: Path, *, bits: int = 2048, digest: str = "sha256") -> Identity:
    """A certificate for an RSA key of so many bits, signed with this digest by nobody known, from openssl(1)."""
    for name, more in (("ca", []), ("weak", ["-CA", f"{directory}/ca.crt", "-CAkey", f"{directory}/ca.key"])):
        new = ["-x509", *more, "-newkey", f"rsa:{bits}", "-noenc", f"-{digest}", "-subj", f"/CN={name}"]
        files = ["-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.crt"]
        subprocess.run(["openssl", "req", *new, *files], check=True, capture_output=True)
    return Identity((directory / "weak.crt").read_text(), (directory / "weak.key").read_text())


def _distinguished(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class Pki:
    """Everybody's papers; made when first asked for."""

    def __init__(self) -> None:
        self.authority = Authority("lab CA")

    @functools.cached_property
    def server(self) -> Identity:
        """What the server shows."""
        return self.authority.issue("server", server=True)

    @functools.cached_property
    def expired_server(self) -> Identity:
        """What a server shows whose certificate ran out yesterday."""
        return self.authority.issue("expired-server", server=True, expired=True)

    @functools.cached_property
    def client(self) -> Identity:
        """What the client shows."""
        return self.authority.issue("client")

    @functools.cached_property
    def expired_client(self) -> Identity:
        """What a client shows whose certificate ran out yesterday."""
        return self.authority.issue("expired-client", expired=True)

    @functools.cached_property
    def stranger(self) -> Authority:
        """An authority of the same name that signed none of these."""
        return Authority("lab CA")
