"""Stands in for the services behind a VPN: sends back what it gets, over TCP and UDP, both families.

echo.py serve PORT                    prints "ready" when it listens
echo.py send tcp|udp ADDRESS PORT     sends standard input, prints what comes back
"""

import selectors
import socket
import sys
import threading

_DEADLINE = 10.0
_DATAGRAM = 1200


def _serve(port: int) -> None:
    streams = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    # Answers must come from the address that was asked, or a client behind a tunnel never sees them.
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    datagrams.bind(("::", port))
    ready = selectors.DefaultSelector()
    ready.register(streams, selectors.EVENT_READ)
    ready.register(datagrams, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in ready.select():
            if key.fileobj is datagrams:
                data, ancillary, _flags, sender = datagrams.recvmsg(65536, 256)
                datagrams.sendmsg([data], ancillary, 0, sender)
            elif key.fileobj is streams:
                connection, _peer = streams.accept()
                threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except ConnectionError:
            pass  # the tunnel went away under it: the client sees that for itself


def _send(protocol: str, address: str, port: int) -> bytes:
    data = sys.stdin.buffer.read()
    if protocol == "tcp":
        with socket.create_connection((address, port), _DEADLINE) as connection:
            sender = threading.Thread(target=_all_of, args=(connection, data))
            sender.start()
            back = b""
            while piece := connection.recv(65536):
                back += piece
            sender.join()
            return back
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(_DEADLINE)
        datagrams.connect((address, port))
        back = b""
        for start in range(0, len(data), _DATAGRAM):
            datagrams.send(data[start : start + _DATAGRAM])
            back += datagrams.recv(65536)
        return back


def _all_of(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(int(sys.argv[2]))
    try:
        sys.stdout.buffer.write(_send(sys.argv[2], sys.argv[3], int(sys.argv[4])))
    except OSError as error:
        sys.exit(f"no echo from {sys.argv[3]}: {error}")
