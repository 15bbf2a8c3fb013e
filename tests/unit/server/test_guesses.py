"""Wrong tokens slow down the network that they come from."""

from icey.server.guesses import BURST, EACH_S, MAX_NETWORKS, Guesses


def test_a_guesser_is_slowed_down():
    """After so many wrong tokens there is one try in a while, for this network alone."""
    guesses = Guesses()
    for number in range(BURST):
        assert guesses.wait_s("net", 0.0) == 0.0
        assert guesses.wrong("net", b"%d" % number, 0.0)
    assert guesses.wait_s("net", 0.0) == EACH_S
    assert guesses.wait_s("other", 0.0) == 0.0
    assert guesses.wait_s("net", EACH_S) == 0.0
    guesses.wrong("net", b"next", EACH_S)
    assert guesses.wait_s("net", EACH_S) == EACH_S


def test_the_same_token_again_is_no_guess():
    """A page with an old token may try again and again."""
    guesses = Guesses()
    assert guesses.wrong("net", b"old", 0.0)
    assert not any(guesses.wrong("net", b"old", 0.0) for _ in range(1000))
    assert guesses.wait_s("net", 0.0) == 0.0


def test_few_networks_are_remembered():
    """A guesser with very many addresses does not fill the memory."""
    guesses = Guesses()
    for number in range(MAX_NETWORKS + 100):
        guesses.wrong(f"net {number}", b"x", 0.0)
    assert len(guesses._guessers) == MAX_NETWORKS
