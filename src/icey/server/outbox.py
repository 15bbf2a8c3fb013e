"""What waits to be written to one WebSocket: in which order, how fast, and what gives way.

::

    the server's own  ──────────────▶ first, and never dropped: its bound is the reader's end
    to this peer alone ─┐
    presence ───────────┼── paced ──▶ presence and messages to rooms in turn
    to a room ──────────┘

What other peers send and are comes at ``receiver_bytes`` a second at most, so that it leaves the
line to the media. Of the messages that wait, a quarter of the queue may be such to rooms, and a
quarter such to this peer alone; more are dropped. Of presence only the newest of each peer waits.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from icey.signalling.actions import Rank
from icey.signalling.budget import Allowance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from icey.signalling.actions import Change
    from icey.signalling.limits import Limits
    from icey.signalling.messages import Frame

SHARES = 4
"""Messages to rooms take one of so many parts of the queue at most, direct ones another."""


def wire_of(frame: Frame) -> bytes:
    """Return a frame as it goes over the socket (RFC 6455 §5.2); made once for all receivers."""
    if frame.wire is None:
        payload = frame.text.encode("ascii")
        frame.wire = WireFrame(Opcode.TEXT, payload).serialize(mask=False, extensions=[])
    return frame.wire


class Outbox:
    """The queue of one socket.

    Args:
        limits: its bounds.
        now: seconds, from a monotonic clock.
    """

    __slots__ = (
        "_held",
        "_messages",
        "_own",
        "_pace",
        "_presence",
        "_presence_next",
        "_share",
        "_sizes",
    )

    def __init__(self, limits: Limits, now: float) -> None:
        self._own: deque[bytes] = deque()
        self._messages: dict[Rank, deque[tuple[bytes, str]]] = {
            Rank.DIRECT: deque(),
            Rank.ROOM: deque(),
        }
        self._sizes = dict.fromkeys(Rank, 0)
        self._presence: dict[str, tuple[Frame, Change]] = {}
        self._presence_next = True
        self._held: list[bytes] = []  # what is next, and waits for its pace
        self._pace = Allowance(limits.receiver_bytes, limits.receiver_window_s, now)
        self._share = limits.queue_bytes // SHARES

    @property
    def own_bytes(self) -> int:
        """Bytes of the server's own messages that wait."""
        return self._sizes[Rank.OWN]

    @property
    def waits(self) -> bool:
        """Whether anything of other peers waits."""
        messages = self._messages
        waiting = self._held or self._presence or messages[Rank.DIRECT] or messages[Rank.ROOM]
        return bool(waiting)

    def add_own(self, wire: bytes) -> None:
        """Let a message of the server wait; its bound is the caller's part."""
        self._own.append(wire)
        self._sizes[Rank.OWN] += len(wire)

    def take_own(self) -> list[bytes]:
        """Return all of the server's messages that wait."""
        own = list(self._own)
        self._own.clear()
        self._sizes[Rank.OWN] = 0
        return own

    def add(self, wire: bytes, rank: Rank, sender: str) -> bool:
        """Let a message of a peer wait; return False where it is dropped."""
        if self._sizes[rank] + len(wire) > self._share:
            return False
        self._messages[rank].append((wire, sender))
        self._sizes[rank] += len(wire)
        return True

    def show(self, shown: Iterable[tuple[str, Frame]], change: Change) -> None:
        """Let the presence of peers wait, in place of what waits of them."""
        for peer, frame in shown:
            before = self._presence.get(peer)
            if before is None or before[1] == change:
                self._presence[peer] = (frame, change)
            elif change == "gone" and before[1] == "new":
                del self._presence[peer]  # the receiver never knew
            elif before[1] == "new":
                self._presence[peer] = (frame, "new")
            else:  # one that was known, left and came back is known
                self._presence[peer] = (frame, "gone" if change == "gone" else "changed")

    def take(self, most: int, now: float) -> list[bytes]:
        """Return what of other peers may be written now, some ``most`` bytes of it.

        Args:
            most: the message that reaches it is the last one.
            now: seconds, from a monotonic clock.
        """
        taken: list[bytes] = []
        size = 0
        left = self._pace.left(now)
        while size < most:
            pieces, self._held = self._held or self._next(), []
            needed = sum(map(len, pieces))
            # One that is larger than all that may pass at once goes out alone.
            alone = size == 0 and self._pace.is_whole(now)
            if needed > left - size and not alone:
                self._held = pieces
                break
            if not pieces:
                break
            taken += pieces
            size += needed
        self._pace.spend(size)
        return taken

    def _next(self) -> list[bytes]:
        """Return the message that is next, after the presence of its sender where that waits."""
        if self._messages[Rank.DIRECT]:
            return self._pop(Rank.DIRECT)
        self._presence_next = not self._presence_next
        if self._presence and (self._presence_next or not self._messages[Rank.ROOM]):
            peer = next(iter(self._presence))
            frame, _ = self._presence.pop(peer)
            return [wire_of(frame)]
        return self._pop(Rank.ROOM) if self._messages[Rank.ROOM] else []

    def _pop(self, rank: Rank) -> list[bytes]:
        wire, sender = self._messages[rank].popleft()
        self._sizes[rank] -= len(wire)
        known = self._presence.get(sender)
        if known is None or known[1] == "gone":
            return [wire]
        del self._presence[sender]
        return [wire_of(known[0]), wire]
