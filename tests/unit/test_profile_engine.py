"""The real engine starts with what compiling a profile hands to it."""

import contextlib
import itertools
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TextIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ...worker.profile.compiler import compile_profile

DEADLINE = 10  # seconds


@pytest.fixture(scope="module")
def identity() -> tuple[str, str]:
    """A certificate that signs itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem).decode(), secret.decode()


@contextlib.contextmanager
def engine(lines: str, identity: tuple[str, str], place: Path) -> Iterator[tuple[socket.socket, TextIO]]:
    """The engine, started and held on a compiled profile with `lines`: its management connection both ways."""
    certificate, key = identity
    profile = f"client\ndev tun\n<ca>\n{certificate}</ca>\n<cert>\n{certificate}</cert>\n<key>\n{key}</key>\n"
    file = place / "config"
    file.write_text(compile_profile(profile + lines).config)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "management"))
        listener.listen()
        listener.settimeout(DEADLINE)
        command = f"openvpn --config {file} --dev null --management {place}/management unix --disable-dco"
        command += " --management-client --management-hold --management-query-passwords"
        with subprocess.Popen([*command.split()], stdout=subprocess.PIPE, text=True) as process:
            try:
                connection, _ = listener.accept()
                connection.settimeout(DEADLINE)
                with connection, connection.makefile() as said:
                    yield connection, said
            except TimeoutError:
                process.kill()
                pytest.fail(process.communicate()[0])
            finally:
                process.kill()


@pytest.mark.parametrize(
    "lines",
    [
        "remote a 1194 udp\nverb 3\nup x\nuser nobody\nfoo bar\n",
        "proto tcp\nremote 2001:db8::1\nhttp-proxy p 1 auto\nhttp-proxy-option AGENT x\n"
        "<http-proxy-user-pass>\nu\np\n</http-proxy-user-pass>\n",
        "<connection>\nremote a 1 tcp\nhttp-proxy p 1\nhttp-proxy-option CUSTOM-HEADER a b\n</connection>\n"
        "<connection>\nremote b\nsocks-proxy s\nexplicit-exit-notify 1\nmssfix 1300\n</connection>\n",
        "proto tcp\n<connection>\nremote a\nhttp-proxy p 1 stdin ntlm2\n</connection>\n"
        "<connection>\nremote b 5\nhttp-proxy p 1 stdin ntlm2\n</connection>\n"
        "<http-proxy-user-pass>\nu\np\n</http-proxy-user-pass>\n",
        "remote a\nauth-user-pass\nstatic-challenge 'a \"b\" c' 1 scrv1\nsetenv UV_X 'y z'\nauth-nocache\n",
        "remote a\nroute 192.0.2.0 255.255.255.0\nroute-ipv6 2001:db8::/64\nredirect-gateway def1 ipv6\n"
        "dhcp-option DNS 192.0.2.1\nkeepalive 10 60\nsetenv opt block-outside-dns\npull-filter ignore 'route '\n"
        "data-ciphers AES-256-GCM\ntls-version-min 1.2\nremote-cert-tls server\nverify-x509-name 'a b' name\n",
    ],
)
def test_the_engine_starts_with_what_it_gets(lines: str, identity: tuple[str, str], tmp_path: Path) -> None:
    """It accepts every option, alone and together, and reports to the management interface."""
    with engine(lines, identity, tmp_path) as (_, said):
        assert any(line.startswith(">HOLD:") for line in said)


class HttpProxy:
    """An HTTP proxy on the loopback that wants credentials, any; each request comes out of `requests`."""

    def __init__(self, challenge: str) -> None:
        self._answer = f"HTTP/1.0 407 no\r\nProxy-Authenticate: {challenge}\r\n\r\n".encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests = SimpleQueue[list[str]]()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        authorized = False
        while not authorized:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed before anybody was let through
            with connection, connection.makefile() as stream:
                request = [line.strip() for line in itertools.takewhile(lambda line: line != "\n", stream)]
                authorized = any(header.startswith("Proxy-Authorization") for header in request)
                self.requests.put(request)
                connection.sendall(b"HTTP/1.0 200 yes\r\n\r\n" if authorized else self._answer)

    def close(self) -> None:
        # Closing alone would leave the thread in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize(
    ("method", "challenge", "authorization"),
    [
        ("", 'Basic realm="x"', "Proxy-Authorization: Basic bWU6c2VjcmV0"),
        ("auto", 'Basic realm="x"', "Proxy-Authorization: Basic bWU6c2VjcmV0"),
        ("'' basic", 'Basic realm="x"', "Proxy-Authorization: Basic bWU6c2VjcmV0"),
        ("auto-nct", 'Digest realm="x", nonce="n"', 'Proxy-Authorization: Digest username="me"'),
    ],
)
@pytest.mark.parametrize("in_block", [False, True])
def test_embedded_credentials_reach_the_proxy(
    method: str, challenge: str, authorization: str, in_block: bool, identity: tuple[str, str], tmp_path: Path
) -> None:
    proxy = HttpProxy(challenge)
    lines = f"remote vpn.example 443 tcp\nhttp-proxy 127.0.0.1 {proxy.port} {method}\n"
    if in_block:
        lines = f"<connection>\n{lines}</connection>\n"
    lines += "http-proxy-option AGENT x\n<http-proxy-user-pass>\nme\nsecret\n</http-proxy-user-pass>\n"
    with contextlib.closing(proxy), engine(lines, identity, tmp_path) as (commands, said):
        commands.sendall(b"hold release\n")
        try:
            requests = [proxy.requests.get(timeout=DEADLINE)]
            while not any(header.startswith(authorization) for header in requests[-1]):
                requests.append(proxy.requests.get(timeout=DEADLINE))
        except Empty:
            pytest.fail(f"{authorization} is not among {requests}")
        assert requests[0][:2] == ["CONNECT vpn.example:443 HTTP/1.0", "Host: vpn.example"]
        commands.sendall(b"pid\n")  # its answer ends what was said until now
        spoken = list(itertools.takewhile(lambda line: not line.startswith("SUCCESS: pid"), said))
        assert not [line for line in spoken if line.startswith(">PASSWORD")]


def test_without_embedded_credentials_they_are_asked_for(identity: tuple[str, str], tmp_path: Path) -> None:
    lines = "proto tcp\nremote 127.0.0.1\nhttp-proxy 127.0.0.1 1 stdin basic\n"
    with engine(lines, identity, tmp_path) as (commands, said):
        commands.sendall(b"hold release\n")
        assert any(line == ">PASSWORD:Need 'HTTP Proxy' username/password\n" for line in said)
