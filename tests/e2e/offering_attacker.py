"""A stranger in a process of its own, who calls only to do harm.

``python -m e2e.offering_attacker <url> offers <sockets> <seconds>`` offers what is costly or breaks
parsers; ``… candidates <sockets> <seconds> <address>`` names an address 32 times in each call. It
prints what it got, as a line of JSON, when it is done.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

CHROMIUM = Path(__file__).parents[2] / "rust/engine/tests/offers/chromium.sdp"
CREDENTIALS = "a=ice-ufrag:abcd\r\na=ice-pwd:" + "p" * 24 + "\r\na=setup:actpass\r\n"
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
FORMAT = "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id="


def _offer(*sections: str) -> str:
    mids = " ".join(str(number) for number in range(len(sections)))
    head = f"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mids}\r\n"
    return head + CREDENTIALS + FINGERPRINT + "".join(sections)


def _section(mid: int, lines: str) -> str:
    media = f"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=recvonly\r\n"
    return media + lines


HOSTILE = [
    _offer(_section(0, FORMAT + "42e01f\r\n"), _section(1, FORMAT + "42001f\r\n")),
    _offer(_section(0, (FORMAT + "42e01f\r\n") * 600)),
    CHROMIUM.read_text(),
]


class Attacker:
    """One socket of many."""

    def __init__(self, url: str, number: int) -> None:
        self._socket = connect(url.replace("http", "ws", 1), compression=None, max_queue=None)
        self._send({"type": "auth", "user": f"stranger{number}"})
        self._server = ""
        while not self._server:
            frame = json.loads(self._socket.recv(timeout=20))
            peer = frame.get("data") or {}
            if frame["type"] == "presence" and peer.get("type") == "server":
                self._server = f"{peer['user']}|{peer['id']}"

    def call(self, sdp: str) -> str:
        """Call and offer; return the reason of the refusal, "" for an answer."""
        self.message("call:init", {})
        reason = self._until("call:accept")
        if reason:
            return reason
        self.message("call:offer", {"type": "offer", "sdp": sdp})
        return self._until("call:answer")

    def message(self, subtype: str, data: dict[str, Any]) -> None:
        """Send the server a message."""
        self._send({"type": "message", "subtype": subtype, "to": self._server, "data": data})

    def _until(self, kind: str) -> str:
        while True:
            frame = json.loads(self._socket.recv(timeout=20))
            subtype = frame.get("subtype")
            if subtype == kind:
                return ""
            if subtype in {"call:reject", "call:hangup"}:
                return str(frame["data"]["reason"])

    def _send(self, frame: dict[str, Any]) -> None:
        self._socket.send(json.dumps(frame))


def _offers(url: str, number: int, until: float, reasons: list[str]) -> None:
    attacker = Attacker(url, number)
    turn = number
    while time.monotonic() < until:
        try:
            reasons.append(attacker.call(HOSTILE[turn % len(HOSTILE)]))
            attacker.message("call:hangup", {})
        except (ConnectionClosed, TimeoutError) as error:
            reasons.append(type(error).__name__)
            return
        turn += 1
        time.sleep(0.1)


def _candidates(url: str, number: int, address: str, reasons: list[str]) -> Attacker:
    attacker = Attacker(url, number)
    reasons.append(attacker.call(HOSTILE[-1]))
    for port in range(32):
        line = f"candidate:1 1 udp {port + 1} {address} {2000 + port} typ host"
        attacker.message("call:candidate", {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})
    return attacker


def main() -> None:
    """See the module."""
    url, what, sockets, seconds, *rest = sys.argv[1:]
    reasons: list[str] = []
    until = time.monotonic() + float(seconds)
    if what == "offers":
        threads = [
            threading.Thread(target=_offers, args=(url, number, until, reasons))
            for number in range(int(sockets))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        kept = [_candidates(url, number, rest[0], reasons) for number in range(int(sockets))]
        time.sleep(max(0.0, until - time.monotonic()))
        del kept
    sys.stdout.write(json.dumps(reasons))


if __name__ == "__main__":
    main()
