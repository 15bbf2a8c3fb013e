"""The heads of requests, cut out of a stream of bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.server.heads import (
    MAX_HEAD_BYTES,
    MAX_HEAD_LINES,
    Heads,
    HeadTooLargeError,
    asks_for_health,
    forwarded,
)

ONE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
TWO = b"GET /b HTTP/1.1\nHost: b\n\n"


@given(st.lists(st.integers(1, 40), max_size=20))
def test_any_cut_gives_the_same_heads(cuts):
    """However the bytes arrive, the same heads come out, empty lines before them left out."""
    stream = b"\r\n" + ONE + b"\r\n\n" + TWO + ONE + b"rest"
    heads, found = Heads(), []
    for size in [*cuts, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        heads.feed(piece)
        whole = heads.whole()
        while (head := heads.next()) is not None:
            assert whole
            found.append(head)
            whole = heads.whole()
    assert found == [ONE, TWO, ONE]
    assert heads.rest() == b"rest"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nA: " + b"b" * MAX_HEAD_BYTES,
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * MAX_HEAD_LINES + b"\r\n",
    ],
)
def test_too_large(head):
    """Too many bytes, or too many lines, are refused."""
    heads = Heads()
    heads.feed(head)
    assert heads.whole()
    with pytest.raises(HeadTooLargeError):
        heads.next()


def test_health_is_seen_before_it_is_parsed():
    """A request for /api/health is known by its first line."""
    assert asks_for_health(b"GET /api/health HTTP/1.1\r\n")
    assert asks_for_health(b"HEAD /api/health?a=b HTTP/1.1\r\n")
    assert not asks_for_health(b"GET /api/healthy HTTP/1.1\r\n")
    assert not asks_for_health(b"GET /?/api/health HTTP/1.1\r\n")


def test_forwarded_headers():
    """Every X-Forwarded header is found, in order, whatever its case."""
    head = b"GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nx-forwarded-proto:https \r\n"
    head += b"X-FORWARDED-FOR: 5.6.7.8, 9.9.9.9\r\nX-Forwarded-Fort: no\r\n\r\n"
    assert forwarded(head) == (["1.2.3.4", "5.6.7.8, 9.9.9.9"], ["https"])
