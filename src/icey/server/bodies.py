"""What a route may read of a request's body. Everywhere else no body is read at all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The bounds of the body at one path.

    Attributes:
        methods: the methods with a body there.
        size: bytes.
        seconds: from the end of the head to the end of the body.
    """

    methods: frozenset[str]
    size: int
    seconds: float

    @property
    def wire_bytes(self) -> int:
        """Bytes that it may have on the wire.

        The framing of chunks counts too, so that a body of one-byte chunks (six bytes each) is
        over its bound before its parsing costs much.
        """
        return 2 * self.size + 4096
