"""The access token, where it may stand, and the origins that are allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from icey.errors import SignallingError
from icey.refusals import Refusals
from icey.server.auth import AccessToken, offered_tokens, origin_allowed
from icey.server.guesses import BURST


def test_an_empty_token_is_an_open_door():
    """Without a token set, every token is right, and none is required."""
    open_door = AccessToken("")
    assert not open_door.required
    assert open_door.admits("")
    assert open_door.admits("anything")


@given(st.text())
def test_only_the_right_token_is_right(offered):
    """Only the token itself is admitted, whatever characters it has."""
    assert AccessToken("s3cret").admits(offered) is (offered == "s3cret")


def test_the_token_shows_nowhere():
    """Neither repr nor attributes of the checker hold the token."""
    token = AccessToken("s3cret")
    assert "s3cret" not in repr(token)
    assert all("s3cret" not in repr(getattr(token, name)) for name in token.__slots__)


@pytest.mark.parametrize(
    ("headers", "query", "tokens"),
    [
        ([], b"", []),
        ([(b"authorization", b"Bearer abc")], b"", ["abc"]),
        ([(b"authorization", b"bearer  abc ")], b"", ["abc"]),
        ([(b"authorization", b"Basic abc")], b"", []),
        ([(b"authorization", b"Bearer")], b"", [""]),
        ([(b"x-icey-token", b" abc")], b"", ["abc"]),
        ([], b"token=a%2Bc&x=1", ["a+c"]),
        ([], b"tokens=abc", []),
        ([(b"x-icey-token", b"a"), (b"authorization", b"Bearer b")], b"token=c", ["a", "b", "c"]),
        ([(b"x-icey-token", b"a")], b"&".join([b"token=c"] * 99), ["a"]),
        ([(b"x-icey-token", b"\xff")], b"token=%ff", ["\xff", "\ufffd"]),
    ],
)
def test_where_a_token_may_stand(headers, query, tokens):
    """A token is found in either header or in the query, and nowhere else."""
    assert offered_tokens(headers, query) == tokens


@pytest.mark.parametrize(
    ("origins", "hosts", "allowed", "verdict"),
    [
        ([], ["cam:4500"], (), True),
        ([], [], (), True),
        (["http://cam:4500"], ["cam:4500"], (), True),
        (["https://cam:4500"], ["cam:4500"], (), True),
        (["HTTP://Cam:4500"], ["cam:4500"], (), True),
        (["http://cam"], ["cam"], (), True),
        (["http://cam"], ["cam:80"], (), True),
        (["https://cam"], ["cam:443"], (), True),
        (["https://cam"], ["cam"], (), True),
        (["https://cam"], ["cam:80"], (), False),
        (["http://cam:4500"], ["cam:4501"], (), False),
        (["http://[::1]:4500"], ["[::1]:4500"], (), True),
        (["http://[::1]"], ["[::1]:80"], (), True),
        (["http://[::1]"], ["[::2]:80"], (), False),
        (["http://cam.evil:4500"], ["cam:4500"], (), False),
        (["http://evil@cam:4500"], ["cam:4500"], (), False),
        (["null"], ["cam:4500"], (), False),
        (["null"], ["null"], (), False),
        (["file://"], [""], (), False),
        (["http://"], [""], (), False),
        (["ftp://cam:4500"], ["cam:4500"], (), False),
        ([""], ["cam:4500"], (), False),
        (["http://cam:4500", "http://evil"], ["cam:4500"], (), False),
        (["http://cam:4500"], [], (), False),
        (["http://cam:4500"], ["evil", "cam:4500"], (), False),
        (["https://friend"], ["cam:4500"], ("https://friend",), True),
        (["https://FRIEND"], ["cam:4500"], ("https://friend",), True),
        (["http://friend"], ["cam:4500"], ("https://friend",), False),
    ],
)
def test_origins(origins, hosts, allowed, verdict):
    """The own host and the listed origins pass; a request without Origin is no browser's."""
    assert origin_allowed(origins, hosts, allowed) is verdict


@given(st.lists(st.text()), st.lists(st.text()))
def test_any_origin_gets_a_verdict(origins, hosts):
    """Garbage in the headers raises nothing."""
    assert origin_allowed(origins, hosts, ()) in (True, False)


def bearer(*tokens):
    return [(b"authorization", f"Bearer {token}".encode()) for token in tokens]


def refusal(token, headers, network="net"):
    with pytest.raises(HTTPException) as refused:
        token.check(headers, b"", network)
    return refused.value


def test_one_token_a_request():
    """Of several tokens none is looked at, not even the right one; the same one twice is one."""
    refusals = Refusals()
    token = AccessToken("s3cret", refusals)
    assert refusal(token, bearer("s3cret", "wrong")).status_code == 400
    token.check(bearer("s3cret", "s3cret"), b"token=s3cret", "net")
    assert refusals.counts == {"severalTokens": 1}


def test_wrong_tokens_slow_an_address_down():
    """After some wrong tokens an address waits, at the API and the signalling alike."""
    refusals = Refusals()
    token = AccessToken("s3cret", refusals, now=lambda: 0.0)
    for number in range(BURST):
        assert refusal(token, bearer(f"guess {number}")).status_code == 401
    slowed = refusal(token, bearer("s3cret"))
    assert (slowed.status_code, slowed.headers["Retry-After"]) == (429, "5")
    with pytest.raises(SignallingError, match="in 5 s") as told:
        token.admits_peer("s3cret", "net")
    assert told.value.status == 429
    assert refusal(token, []).status_code == 401  # who shows none guesses none
    assert token.admits_peer("s3cret", "elsewhere")
    assert refusals.counts == {"wrongTokens": BURST, "throttledTokens": 2}


def test_guesses_at_the_signalling_count():
    """Wrong tokens of signalling peers slow their address down."""
    token = AccessToken("s3cret", now=lambda: 0.0)
    assert not any(token.admits_peer(f"guess {number}", "net") for number in range(BURST))
    assert refusal(token, bearer("s3cret")).status_code == 429
