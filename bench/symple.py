"""A minimal Symple caller: enough to watch or to publish, nothing more."""

from __future__ import annotations

import json
from typing import Any, Self

from websockets.sync.client import connect

ANSWER_WITHIN_S = 20.0


class Caller:
    """One signalling session that calls the server's virtual peer.

    Args:
        url: the server's ``http://`` address.
        user: any name.
    """

    def __init__(self, url: str, user: str) -> None:
        # Nobody reads between the calls: what the server tells about other peers piles up here.
        self._socket = connect(
            url.replace("http", "ws", 1), compression=None, ping_interval=None, max_queue=None
        )
        self._send({"type": "auth", "user": user})
        self._receive("welcome")
        self._server = self._find_server()

    def call(self, offer: str) -> str:
        """Call, offer, and return the answer's SDP."""
        self._message("call:init", {})
        self._receive("call:accept")
        self._message("call:offer", {"type": "offer", "sdp": offer})
        return str(self._receive("call:answer")["data"]["sdp"])

    def close(self) -> None:
        """Hang up by going away."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find_server(self) -> str:
        while True:
            peer = self._receive("presence")["data"]
            if peer.get("type") == "server":
                return f"{peer['user']}|{peer['id']}"

    def _message(self, subtype: str, data: dict[str, Any]) -> None:
        self._send({"type": "message", "subtype": subtype, "to": self._server, "data": data})

    def _send(self, frame: dict[str, Any]) -> None:
        self._socket.send(json.dumps(frame))

    def _receive(self, kind: str) -> dict[str, Any]:
        while True:
            frame: dict[str, Any] = json.loads(self._socket.recv(timeout=ANSWER_WITHIN_S))
            name = frame.get("subtype") or frame["type"]
            if name == kind:
                return frame
            if name in {"call:reject", "call:hangup", "error"}:
                raise RuntimeError(f"the server refused: {frame}")
