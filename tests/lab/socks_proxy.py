"""A SOCKS proxy (RFC 1928) for everybody: connections over TCP, and datagrams relayed over UDP.

socks_proxy.py ADDRESS PORT       prints "ready" when it listens, then for each request "connect HOST" or "associate"
"""

import ipaddress
import selectors
import socket
import struct
import sys
import threading

_VERSION, _CONNECT, _ASSOCIATE = 5, 1, 3
_IPV4, _NAME, _IPV6 = 1, 3, 4
_SIZES = {_IPV4: 4, _IPV6: 16}


def _read(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (piece := stream.recv(size - len(data))):
            raise EOFError
        data += piece
    return data


def _read_address(stream: socket.socket) -> tuple[str, int]:
    (kind,) = _read(stream, 1)
    if kind == _NAME:
        host = _read(stream, _read(stream, 1)[0]).decode()
    else:
        host = str(ipaddress.ip_address(_read(stream, _SIZES[kind])))
    return host, struct.unpack("!H", _read(stream, 2))[0]


def _written(host: str, port: int) -> bytes:
    packed = ipaddress.ip_address(host).packed
    return bytes([_IPV4 if len(packed) == 4 else _IPV6]) + packed + struct.pack("!H", port)


def _serve(client: socket.socket) -> None:
    with client:
        try:
            _, methods = _read(client, 2)
            _read(client, methods)
            client.sendall(bytes([_VERSION, 0]))  # nobody has to log in
            _, command, _ = _read(client, 3)
            host, port = _read_address(client)
            if command == _CONNECT:
                print("connect", host, flush=True)
                with socket.create_connection((host, port)) as server:
                    client.sendall(bytes([_VERSION, 0, 0]) + _written(*server.getsockname()[:2]))
                    _relay_streams(client, server)
            elif command == _ASSOCIATE:
                print("associate", flush=True)
                with socket.socket(client.family, socket.SOCK_DGRAM) as datagrams:
                    datagrams.bind((client.getsockname()[0], 0))
                    client.sendall(bytes([_VERSION, 0, 0]) + _written(*datagrams.getsockname()[:2]))
                    _relay_datagrams(client, datagrams)
        except (OSError, EOFError, KeyError):
            return


def _relay_streams(client: socket.socket, server: socket.socket) -> None:
    ready = selectors.DefaultSelector()
    ready.register(client, selectors.EVENT_READ, server)
    ready.register(server, selectors.EVENT_READ, client)
    while True:
        for key, _ in ready.select():
            if not (data := key.fileobj.recv(65536)):  # type: ignore[union-attr]
                return
            key.data.sendall(data)


def _relay_datagrams(client: socket.socket, datagrams: socket.socket) -> None:
    """Pass datagrams on, with the address of the other end before each of the client's, while it stays connected."""
    ready = selectors.DefaultSelector()
    ready.register(client, selectors.EVENT_READ)
    ready.register(datagrams, selectors.EVENT_READ)
    asker: tuple[str, int] | None = None
    while True:
        for key, _ in ready.select():
            if key.fileobj is client:
                if not client.recv(4096):
                    return
                continue
            data, peer = datagrams.recvfrom(65536)
            if asker is None or peer == asker:
                asker, size = peer, _SIZES[data[3]]
                host = str(ipaddress.ip_address(data[4 : 4 + size]))
                (port,) = struct.unpack_from("!H", data, 4 + size)
                datagrams.sendto(data[6 + size :], (host, port))
            else:
                datagrams.sendto(bytes(3) + _written(*peer[:2]) + data, asker)


if __name__ == "__main__":
    listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    while True:
        threading.Thread(target=_serve, args=(listener.accept()[0],), daemon=True).start()
