"""Links that open one file for a while."""

from hypothesis import given
from hypothesis import strategies as st

from icey.server.links import LINK_SECONDS, SignedLinks


def test_a_link_expires():
    """A link opens up to the last second of its time, and not after."""
    now = 1000.0
    links = SignedLinks(lambda: now)
    query = links.sign("/artifacts/a.mp4").partition("?")[2].encode()
    now += LINK_SECONDS
    assert links.opens("/artifacts/a.mp4", query)
    now += 1
    assert not links.opens("/artifacts/a.mp4", query)


def test_a_restart_ends_all_links():
    """Each start has a key of its own."""
    query = SignedLinks().sign("/artifacts/a.mp4").partition("?")[2].encode()
    assert not SignedLinks().opens("/artifacts/a.mp4", query)


@given(path=st.text(), other=st.text(), query=st.binary())
def test_only_the_signed_path_opens(path, other, query):
    """A link opens its own path, no other one, and no query that was made up opens anything."""
    links = SignedLinks()
    signed = links.sign(path).partition("?")[2] if path.isascii() else ""
    if signed and "?" not in path:
        assert links.opens(path, signed.encode())
        assert links.opens(other, signed.encode()) == (other == path)
    assert not links.opens(path, query)
