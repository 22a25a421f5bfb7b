"""Stands in for the name servers of the world: answers A and AAAA over UDP and TCP.

    dns_server.py ADDRESS PORT BEHAVIOUR     prints "ready" when it listens, then each name that it is asked for

BEHAVIOUR is JSON: {"records": {name: [address, …]}, "delay": seconds, "dead": true or false}.  A dead server takes
questions and never answers.  A name that is not in the table does not exist; "*.NAME" there is any label below NAME.
"""

import ipaddress
import json
import selectors
import socket
import struct
import sys
import threading
from dataclasses import dataclass

_A, _AAAA = 1, 28
_ANSWER, _RECURSION, _TRUNCATED, _NO_SUCH_NAME = 0x8000, 0x0180, 0x0200, 3
_UDP_LIMIT = 512  # bytes of an answer by UDP (RFC 1035); the client asks again by TCP
_TTL = 1


@dataclass(frozen=True)
class Behaviour:
    """What it knows and how it answers."""

    records: dict[str, list[str]]
    delay: float = 0.0
    dead: bool = False


def _question(packet: bytes) -> tuple[str, int, bytes]:
    """Name, type and the bytes of a query's only question."""
    labels, at = list[str](), 12
    while size := packet[at]:
        labels.append(packet[at + 1 : at + 1 + size].decode("ascii", "replace").lower())
        at += 1 + size
    (kind,) = struct.unpack("!H", packet[at + 1 : at + 3])
    return ".".join(labels), kind, packet[12 : at + 5]


def answer(packet: bytes, behaviour: Behaviour, limit: int) -> tuple[str, bytes]:
    """The name asked for and the answer, cut to say so if longer than `limit` bytes."""
    name, kind, question = _question(packet)
    known = behaviour.records.get(name) or behaviour.records.get(f"*.{name.partition('.')[2]}", [])
    addresses = [ipaddress.ip_address(one) for one in known]
    version = {_A: 4, _AAAA: 6}.get(kind)
    chosen = [one.packed for one in addresses if one.version == version]
    flags = _ANSWER | _RECURSION | (0 if addresses else _NO_SUCH_NAME)
    # 0xC00C points back at the name in the question.
    records = [struct.pack("!HHHIH", 0xC00C, kind, 1, _TTL, len(one)) + one for one in chosen]
    whole = packet[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)
    if len(whole) <= limit:
        return name, whole
    return name, packet[:2] + struct.pack("!HHHHH", flags | _TRUNCATED, 1, 0, 0, 0) + question


def _serve(address: str, port: int, behaviour: Behaviour) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    datagrams = socket.socket(family, socket.SOCK_DGRAM)
    datagrams.bind((address, port))
    streams = socket.create_server((address, port), family=family)
    ready = selectors.DefaultSelector()
    ready.register(datagrams, selectors.EVENT_READ)
    ready.register(streams, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in ready.select():
            if key.fileobj is streams:
                connection, _peer = streams.accept()
                threading.Thread(target=_by_tcp, args=(connection, behaviour), daemon=True).start()
                continue
            packet, asker = datagrams.recvfrom(4096)
            name, reply = answer(packet, behaviour, _UDP_LIMIT)
            print("asked", name, flush=True)
            if not behaviour.dead:
                # A timer a question, so that one slow answer does not hold up the next.
                threading.Timer(behaviour.delay, datagrams.sendto, (reply, asker)).start()


def _by_tcp(connection: socket.socket, behaviour: Behaviour) -> None:
    with connection, connection.makefile("rwb") as stream:
        while len(head := stream.read(2)) == 2:
            name, reply = answer(stream.read(struct.unpack("!H", head)[0]), behaviour, 65535)
            print("asked", name, flush=True)
            if not behaviour.dead:
                threading.Event().wait(behaviour.delay)
                stream.write(struct.pack("!H", len(reply)) + reply)
                stream.flush()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), Behaviour(**json.loads(sys.argv[3])))
