"""A TURN client that does what no honest one would: every byte of its messages can be chosen.

Blocking, over UDP or TCP; for attacks on the whole server. RFC 8489 (STUN) and RFC 8656 (TURN).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import socket
import struct
from dataclasses import dataclass
from typing import Self

COOKIE = 0x2112A442
ALLOCATE, REFRESH, SEND, PERMIT, BIND = 0x003, 0x004, 0x016, 0x008, 0x009
SUCCESS, ERROR = 0x0100, 0x0110
USERNAME, INTEGRITY, ERROR_CODE, CHANNEL, LIFETIME = 0x0006, 0x0008, 0x0009, 0x000C, 0x000D
PEER, DATA, REALM, NONCE, RELAYED, FAMILY, TRANSPORT = (
    0x0012, 0x0013, 0x0014, 0x0015, 0x0016, 0x0017, 0x0019,
)  # fmt: skip
UDP_TO_PEERS = bytes([17, 0, 0, 0])
ANSWER_WITHIN_S = 5.0


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded (RFC 8489 §14)."""
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def message(kind: int, *attributes: bytes, transaction: bytes | None = None) -> bytes:
    """A message without integrity."""
    body = b"".join(attributes)
    return struct.pack("!HHI", kind, len(body), COOKIE) + (transaction or os.urandom(12)) + body


def address(ip: str, port: int, transaction: bytes) -> bytes:
    """A XOR-… address (RFC 8489 §14.2)."""
    packed = ipaddress.ip_address(ip).packed
    mask = struct.pack("!I", COOKIE) + transaction
    family = 1 if len(packed) == 4 else 2
    masked = bytes(a ^ b for a, b in zip(packed, mask, strict=False))
    return struct.pack("!BBH", 0, family, port ^ (COOKIE >> 16)) + masked


@dataclass(frozen=True)
class Answer:
    """A message of the server's."""

    kind: int
    attributes: dict[int, bytes]

    @property
    def code(self) -> int:
        """The error code; 0 of a success."""
        value = self.attributes.get(ERROR_CODE)
        return value[2] * 100 + value[3] if value else 0


def parse(data: bytes) -> Answer:
    """Read a message."""
    kind, length, _ = struct.unpack("!HHI", data[:8])
    attributes, rest = {}, data[20 : 20 + length]
    while rest:
        name, size = struct.unpack("!HH", rest[:4])
        attributes.setdefault(name, rest[4 : 4 + size])
        rest = rest[4 + size + -size % 4 :]
    return Answer(kind, attributes)


class TurnClient:
    """One 5-tuple."""

    def __init__(self, server: tuple[str, int], *, tcp: bool = False, source: str = "") -> None:
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self.tcp = tcp
        self.socket = socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(ANSWER_WITHIN_S)
        self.socket.connect(server)
        self.username, self.password = "", ""
        self.realm, self.nonce = b"", b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, data: bytes) -> Answer:
        """Send a message, and read the next that comes."""
        self.socket.sendall(data)
        return self.hear()

    def hear(self) -> Answer:
        """Read one message."""
        if not self.tcp:
            return parse(self.socket.recv(65_536))
        head = self._exactly(20)
        return parse(head + self._exactly(struct.unpack("!H", head[2:4])[0]))

    def challenge(self) -> Answer:
        """Ask without credentials; keep the realm and the nonce of the 401."""
        answer = self.ask(message(ALLOCATE, attribute(TRANSPORT, UDP_TO_PEERS)))
        self.realm, self.nonce = answer.attributes[REALM], answer.attributes[NONCE]
        return answer

    def signed(self, kind: int, *attributes: bytes, transaction: bytes | None = None) -> bytes:
        """A request with the long-term credential (RFC 8489 §9.2, §14.5)."""
        key = hashlib.md5(
            f"{self.username}:{self.realm.decode()}:{self.password}".encode()
        ).digest()
        plain = message(
            kind,
            *attributes,
            attribute(USERNAME, self.username.encode()),
            attribute(REALM, self.realm),
            attribute(NONCE, self.nonce),
            transaction=transaction,
        )
        length = struct.pack("!H", len(plain) - 20 + 24)
        signature = hmac.digest(key, plain[:2] + length + plain[4:], "sha1")
        return plain[:2] + length + plain[4:] + attribute(INTEGRITY, signature)

    def allocate(self, username: str, password: str, *, ipv6: bool = False) -> Answer:
        """Allocate, from the challenge on."""
        self.username, self.password = username, password
        if not self.nonce:
            self.challenge()
        family = [attribute(FAMILY, bytes([2, 0, 0, 0]))] if ipv6 else []
        return self.ask(self.signed(ALLOCATE, attribute(TRANSPORT, UDP_TO_PEERS), *family))

    def permit(self, ip: str, port: int) -> Answer:
        """CreatePermission."""
        transaction = os.urandom(12)
        peer = attribute(PEER, address(ip, port, transaction))
        return self.ask(self.signed(PERMIT, peer, transaction=transaction))

    def bind(self, ip: str, port: int, channel: int = 0x4000) -> Answer:
        """ChannelBind."""
        transaction = os.urandom(12)
        peer = attribute(PEER, address(ip, port, transaction))
        number = attribute(CHANNEL, struct.pack("!HH", channel, 0))
        return self.ask(self.signed(BIND, number, peer, transaction=transaction))

    def refresh(self, lifetime: int = 600) -> Answer:
        """Refresh; 0 ends the allocation."""
        return self.ask(self.signed(REFRESH, attribute(LIFETIME, struct.pack("!I", lifetime))))

    def send(self, ip: str, port: int, payload: bytes) -> None:
        """A Send indication, to which nothing answers."""
        transaction = os.urandom(12)
        peer = attribute(PEER, address(ip, port, transaction))
        indication = 0x0010 | SEND
        self.socket.sendall(
            message(indication, peer, attribute(DATA, payload), transaction=transaction)
        )

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        return data
