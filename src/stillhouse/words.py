"""What counts as a word, for everything that compares texts by their words.

A text of ASCII characters is cut exactly as the `rouge_score` package cuts it without its stemmer: runs of a-z and 0-9,
without case. In any other text a word is a run of letters, digits and accents of any script; in scripts that put no
space between words (Chinese, Japanese kana, Thai, Lao, Khmer, Burmese) each character is one, with its marks; an emoji
or another picture is one, with its skin tone and whatever a joiner ties to it. Accents count as one letter however they
are composed.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable

_ASCII = re.compile("[a-z0-9]+")
# Thai and Lao, Burmese, Khmer, Tai Tham, kana, Han; of them the letters and digits
_RANGES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1a20-\u1aaf\u3005-\u3007\u3031-\u3035\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
UNSPACED = re.compile(rf"(?=\w)[{_RANGES}]")  # one letter of a script that puts no space between words
_DROPPED = ".,;:!?'\""  # punctuation that makes no text new
_UNDRAWN = {0xFE0E: None, 0xFE0F: None}  # the marks that choose how a picture is drawn


def words(text: str) -> list[str]:
    """The words of a text, without case. A text of punctuation alone has none: see `units`."""
    if text.isascii():
        return _ASCII.findall(text.lower())
    return _patterns()[0].findall(_folded(text))


def units(text: str) -> list[str]:
    """The words of a text; where it has none its characters without white space, so that "!!!" is not "???"."""
    return words(text) or list("".join(text.split()))


def normalise(text: str) -> str:
    """What is left of a text when it is compared as a whole: two texts are the same where this is the same.

    Case, spacing and punctuation do not make a text new. The order of words does, and so does every sign of arithmetic
    or comparison. A text of punctuation alone is compared by it.
    """
    if text.isascii():
        kept = re.findall(rf"\w+|[^\w\s{_DROPPED}]", text.lower())
    else:
        kept = _patterns()[1].findall(_folded(text))
    return " ".join(kept) or "".join(text.split())


def _folded(text: str) -> str:
    """Without case and with accents composed. The capital of i is I, and in Turkish İ."""
    return unicodedata.normalize("NFC", text).casefold().translate(_UNDRAWN).replace("i\u0307", "i")


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(words, words and signs) of texts that are not ASCII. Python's `re` has no class of marks or of pictures."""
    points: dict[str, list[int]] = {"marks": [], "pictures": [], "punctuation": []}
    of_kind = {"So": "pictures", "Mn": "marks", "Mc": "marks", "Me": "marks"}
    of_kind |= dict.fromkeys(("Po", "Pi", "Pf", "Ps", "Pe", "Cf"), "punctuation")
    for start, end in ((0x80, 0x3400), (0xA000, 0xAC00), (0xD7B0, 0xD800), (0xF900, 0x20000), (0xE0100, 0xE01F0)):
        for point in range(start, end):  # what is left out holds letters, private use and nothing
            if (kind := of_kind.get(unicodedata.category(chr(point)))) is not None:
                points[kind].append(point)
    marks, pictures, punctuation = (_class(points[kind]) for kind in ("marks", "pictures", "punctuation"))
    tone, flag = "\U0001f3fb-\U0001f3ff", "\U0001f1e6-\U0001f1ff"
    dressed = f"[{tone}\u20e3]*"
    picture = rf"(?![{flag}])[{pictures}]{dressed}(?:\u200d[{pictures}]{dressed})*|[{flag}]{{1,2}}|[{tone}]"
    unspaced = rf"(?=\w)[{_RANGES}][{marks}]*"
    # A letter or digit that is not of those scripts, then also marks; `_` parts words, and not what is compared whole.
    parted = rf"(?![{_RANGES}_])\w(?:(?![{_RANGES}_])[\w{marks}])*"
    whole = rf"(?![{_RANGES}])\w(?:(?![{_RANGES}])[\w{marks}])*"
    signs = rf"[^\w\s{_DROPPED}{punctuation}]"
    return re.compile(f"{unspaced}|{parted}|{picture}"), re.compile(f"{unspaced}|{whole}|{picture}|{signs}")


def _class(points: Iterable[int]) -> str:
    """Code points as the inside of a character class, by ranges."""
    ranges: list[list[int]] = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in ranges)
