"""Names that look like the server's, and what cannot be seen in a name."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icey.signalling.names import skeleton, unseen

DISGUISES = [
    "icey",
    "ICEY",
    " icey ",
    "i c e y",
    "i-c_e.y",
    "icey\u2003",
    "\u0456\u0441\u0435\u0443",  # Cyrillic
    "\u03b9ce\u03c5",  # Greek
    "\u13a5cey",  # Cherokee
    "Icey",
    "lcey",
    "1cey",
    "|cey",
    "\u0131cey",
    "\uff49\uff43\uff45\uff59",
    "\u24d8\u24d2\u24d4\u24e8",
    "\U0001d4f2\U0001d4ec\U0001d4ee\U0001d502",
    "\U0001f178\U0001f172\U0001f174\U0001f188",
    "\U0001f1ee\U0001f1e8\U0001f1ea\U0001f1fe",
    "i\u0301c\u0327ey",
    "\u0268\u023c\u0247\u024f",
    "i\u200bcey",
]


@pytest.mark.parametrize("name", DISGUISES, ids=ascii)
def test_disguises_have_the_skeleton_of_the_server(name):
    """Case, blanks, accents, width, and letters of other scripts do not hide a name."""
    assert skeleton(name) == "icey"


@pytest.mark.parametrize(
    "name", ["alice", "ice", "icy", "iceyx", "bob", "", "\u51b0", "\U0001f9ca"]
)
def test_other_names_do_not(name):
    """What does not look like it is another name."""
    assert skeleton(name) != "icey"


@pytest.mark.parametrize(
    "name",
    [
        "Ren\u00e9e O'Neill-Smith",
        "\u5317\u4eac",
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a non-joiner
        "\u0915\u094d\u200d\u0937",  # Devanagari, with a joiner
        "\u845b\U000e0100\u57ce",  # a variant of a Chinese character
        "\u2764\ufe0f",
        "1\ufe0f\u20e3",
        "\U0001f469\U0001f3fd\u200d\U0001f4bb",
        "\U0001f3f3\ufe0f\u200d\U0001f308",
        "a b",
    ],
    ids=ascii,
)
def test_honest_names_have_nothing_unseen(name):
    """Emoji, and scripts that need joiners, pass."""
    assert unseen(name) is None


@pytest.mark.parametrize(
    "character",
    "\u0000\n\u00ad\u034f\u115f\u200b\u200c\u200d\u200e\u202e\u2028\u2060\u2066\u2800\u3164"
    "\ufe0f\ufeff\uffa0\U000e0041\U000e0100\ud800",
    ids=ascii,
)
def test_what_cannot_be_seen_is_found(character):
    """Controls, format characters and blank letters are found wherever they stand."""
    for name in (f"a{character}b", f"{character}a", f"a{character}"):
        assert unseen(name) == character


@given(st.text(max_size=30))
def test_never_raises(name):
    """Any text has a skeleton, of what can be seen and folded."""
    assert not any(unicodedata.category(c).startswith("M") for c in skeleton(name))
    assert unseen(name) is None or unseen(name) in name
