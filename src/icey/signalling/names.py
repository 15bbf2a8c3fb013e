"""Names of peers and rooms: what cannot be seen in them, and what they look like."""

# ruff: noqa: RUF001 - look-alikes are what the table below is about

from __future__ import annotations

import re
import unicodedata

# Controls, halves of surrogate pairs, line and paragraph separators, unassigned and private ones,
# and format characters (Cf): bidirectional controls, zero-width spaces, tags, soft hyphens.
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# Letters and symbols that are blank all the same: Hangul fillers and the empty braille pattern
# (Default_Ignorable_Code_Point of the Unicode Character Database, and U+2800).
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")

_NON_JOINER, _JOINER = "\u200c", "\u200d"
_VIRAMA = 9
"""The combining class of what a joiner may follow in Indic scripts (RFC 5892 A.1, A.2)."""

# Characters that read as a letter of "icey" or "server": the rows of Unicode's confusables.txt
# (UTS 39, 15.1) for these letters that neither decomposition nor folding nor a character's name
# leads to. What looks like an l or a 1 is an i here, since a capital I looks like both.
_LOOKS_LIKE = {
    "i": "ɪıɩɪιіӏꭵᎥ⍳ꙇ𑣃𝚤l1|│ǀ۱∣⏽ᛁⵏⲓꓲ𐊊𐌉𐌠𐔦",
    "c": "¢ϲсᴄⲥꓚꮯᏟ𐊢𐌂𐐽𐐕𐔜𑣩𑣲🝌",
    "e": "ᴇεеҽ℮⋿ⴹꓰꬲꭼᎬ𐊆𑢦𑢮",
    "y": "ɣʏυγуүყꭹꮍᎩᎽᶌỿⲩꓬꭚ𐊲𑢤𑣜𖽃",
    "s": "ƽѕտꮥꮪᏕᏚꓢꜱ𐊖𐐠𐑈𑣁𖼺",
    "r": "ʀгᎡᏒꭱꮢᖇᴦⲅꓣꭇꭈꮁ𐒴𖼵𝈖",
    "v": "νѵ۷ᏙꮩᐯᴠⅤ∨⋁ⴸꓦꛟ𐔝𑜆𑢠𑣀𖼈𝈍",
}

# "LATIN SMALL LETTER I WITH STROKE", "NEGATIVE CIRCLED LATIN CAPITAL LETTER I", "REGIONAL
# INDICATOR SYMBOL LETTER I": letters that have no decomposition.
_NAMED_LETTER = re.compile(r"(?:LATIN (?:SMALL|CAPITAL)|SYMBOL) LETTER ([A-Z])(?: WITH .*)?$")


def _folded(text: str) -> str:
    """Return text in compatibility decomposition and folded case, without combining marks."""
    # Twice, as folding may yield what decomposes again (UAX 15, NFKC_Casefold).
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in text if not unicodedata.category(c).startswith("M"))


_PROTOTYPES = {
    folded: letter
    for letter, look_alikes in _LOOKS_LIKE.items()
    for character in look_alikes
    for folded in _folded(character)
}


def _prototype(character: str) -> str:
    """Return the letter that a folded character looks like, or the character."""
    if character.isascii() or character in _PROTOTYPES:
        return _PROTOTYPES.get(character, character)
    named = _NAMED_LETTER.search(unicodedata.name(character, ""))
    return named[1].lower() if named else character


def skeleton(name: str) -> str:
    """Return what is left of a name when all that a reader may overlook is taken away.

    Two names with the same skeleton look alike: case, accents, width, spaces, punctuation and what
    cannot be seen do not count, and letters of other scripts count as the letter of "icey" or
    "server" that they look like (after UTS 39 §4, cut down to these letters).
    """
    looks = (_prototype(character) for character in _folded(name))
    return "".join(character for character in looks if character.isalnum())


def unseen(name: str) -> str | None:
    """Return the first character of a name that cannot be seen, or None.

    What holds honest names together passes where it does so: joiners between emoji and in Indic
    and Arabic scripts, variation selectors after emoji and Chinese characters.
    """
    before = ""
    for at, character in enumerate(name):
        after = name[at + 1 : at + 2]
        if character in _BLANKS:
            return character
        if "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef":
            if not _may_vary(before):
                return character
        elif unicodedata.category(character) in _UNSEEN_CATEGORIES and not (
            character in (_NON_JOINER, _JOINER) and _may_join(before, character, after)
        ):
            return character
        before = character
    return None


def _may_vary(before: str) -> bool:
    """Return whether a variation selector after this character shows."""
    if not before:
        return False
    ideograph = unicodedata.name(before, "").startswith("CJK ")
    return ideograph or unicodedata.category(before) in {"So", "Sm", "Po", "Nd"}


def _may_join(before: str, joiner: str, after: str) -> bool:
    if not before or not after:
        return False
    if unicodedata.combining(before) == _VIRAMA:
        return True
    if joiner == _JOINER and unicodedata.category(after) == "So":
        # An emoji, one with a variation selector, or one with a colour of skin.
        return before == "\ufe0f" or unicodedata.category(before) in {"So", "Sk"}
    scripts = [unicodedata.name(side, "").partition(" ")[0] for side in (before, after)]
    return joiner == _NON_JOINER and scripts == ["ARABIC", "ARABIC"]
