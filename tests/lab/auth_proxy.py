"""Stands in for a company's HTTP proxy: connects clients that show a user name and a password, over CONNECT.

auth_proxy.py ADDRESS PORT {"scheme": "Basic"|"Digest", "users": {NAME: PASSWORD}}

Prints "ready" when it listens, then for each request "NAME: connected" or "NAME: refused" ("nobody" without a name).
"""

import base64
import hashlib
import json
import re
import secrets
import selectors
import socket
import sys
import threading

_REALM = "lab"
_MAX_REQUEST = 65536
_REFUSAL = (
    "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: {challenge}\r\n"
    "Content-Length: 0\r\nConnection: close\r\nProxy-Connection: close\r\n\r\n"
)
_CHALLENGES = {
    "Basic": f'Basic realm="{_REALM}"',
    "Digest": f'Digest realm="{_REALM}", nonce="{secrets.token_hex(8)}", qop="auth", algorithm=MD5',
}


class Proxy:
    """The behaviour of one proxy."""

    def __init__(self, scheme: str, users: dict[str, str]) -> None:
        self._scheme = scheme
        self._users = users

    def serve(self, address: str, port: int) -> None:
        """Serve for ever."""
        listener = socket.create_server((address, port), backlog=64)
        print("ready", flush=True)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=self._request, args=(client,), daemon=True).start()

    def _request(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head and len(head) < _MAX_REQUEST:
                if not (piece := client.recv(4096)):
                    return
                head += piece
            first, *lines = head.decode("utf-8", "replace").split("\r\n")
            shown = next((line for line in lines if line.lower().startswith("proxy-authorization:")), "")
            scheme, _, credentials = shown.partition(":")[2].strip().partition(" ")
            user, good = self._judge(first, credentials) if scheme == self._scheme else ("nobody", False)
            print(f"{user}: {'connected' if good else 'refused'}", flush=True)
            if not good:
                client.sendall(_REFUSAL.format(challenge=_CHALLENGES[self._scheme]).encode())
                return
            host, _, port = first.split()[1].rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _join(client, server)

    def _judge(self, request: str, credentials: str) -> tuple[str, bool]:
        """Who shows these credentials, and whether they are right."""
        if self._scheme == "Basic":
            user, _, password = base64.b64decode(credentials).decode("utf-8", "replace").partition(":")
            return user, self._users.get(user) == password
        shown = {
            name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', credentials)
        }
        user = shown.get("username", "nobody")
        method, uri, _ = request.split()
        secret = _md5(f"{user}:{_REALM}:{self._users.get(user, secrets.token_hex())}")
        parts = (secret, *(shown.get(name, "") for name in ("nonce", "nc", "cnonce", "qop")), _md5(f"{method}:{uri}"))
        return user, shown.get("response") == _md5(":".join(parts))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _join(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    ready = selectors.DefaultSelector()
    ready.register(one, selectors.EVENT_READ, other)
    ready.register(other, selectors.EVENT_READ, one)
    while True:
        for key, _ in ready.select():
            source, target = key.fileobj, key.data
            assert isinstance(source, socket.socket)
            try:
                if not (data := source.recv(65536)):
                    return
                target.sendall(data)
            except ConnectionError:
                return


if __name__ == "__main__":
    behaviour = json.loads(sys.argv[3])
    Proxy(behaviour["scheme"], behaviour["users"]).serve(sys.argv[1], int(sys.argv[2]))
