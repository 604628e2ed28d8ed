"""What counts as a word, for everything that compares texts by their words.

A text of ASCII characters is cut exactly as the `rouge_score` package cuts it without its stemmer: runs of a-z and 0-9,
without case. In any other text a word is a run of letters, digits and accents of any script; in scripts that put no
space between words (Chinese, Japanese kana, Thai, Lao, Khmer, Burmese, Javanese, ...) each character is one, with its
marks; so is each syllable of Korean, whose spaces stand between phrases and are often left out; an emoji or another
picture is one, with its skin tone, its keycap and whatever joiners or tags tie to it; arrows are pictures.
What only encodes the same text in another way makes no other word: accents composed or not, half and full width,
joiners within a word, soft hyphens and other characters that nobody sees.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable

_ASCII = re.compile("[a-z0-9]+")
# Thai and Lao, Burmese, Khmer, Tai Le and New Tai Lue, Tai Tham, Balinese, Javanese, Tai Viet, Yi, bopomofo, kana, Han;
# of them the letters and digits
_RANGES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\u3005-\u3007\u3031-\u3035"
    "\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua980-\ua9ff\uaa60-\uaadf"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff"  # as syllables, and letters that make none
UNSPACED = re.compile(rf"(?=\w)[{_RANGES}]")  # one letter of a script that puts no space between words
_DROPPED = ".,;:!?'\""  # punctuation that makes no text new
# Nobody sees these, and no word ends there: soft hyphens, joiners that part letters' shapes, marks of direction and of
# how a character is drawn. U+200B stands between words, and U+200D also ties pictures, so they are none of them.
_UNSEEN = dict.fromkeys(
    point
    for points in (
        (0xAD, 0x34F, 0x61C, 0x200C, 0x200E, 0x200F, 0xFEFF),
        *(range(0x180B, 0x1810), range(0x202A, 0x202F), range(0x2060, 0x2070)),
        *(range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)),
    )
    for point in points
)
_WIDE = re.compile("[\uff01-\uffee]+")  # full and half width
# Of the signs of mathematics, those that are drawn as pictures: arrows, shapes
_KEYCAP = 0x20E3
_DRAWN = ((0x2190, 0x2200), (0x25A0, 0x27C0), (0x27F0, 0x2800), (0x2900, 0x2980), (0x2B00, 0x2C00))


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

    Case, spacing and punctuation do not make a text new; only where spaces part words or phrases, as in English and
    Korean, does it count between which letters they stand. The order of words makes a text new, and so does every sign
    of arithmetic or comparison. A text of punctuation alone is compared by it.
    """
    if text.isascii():
        kept = re.findall(rf"\w+|[^\w\s{_DROPPED}]", text.lower())
    else:
        kept = _patterns()[1].findall(_folded(text))
    return " ".join(kept) or "".join(text.split())


def _folded(text: str) -> str:
    """Without case, with accents composed and in one width. The capital of i is I, and in Turkish İ."""
    text = _WIDE.sub(lambda wide: unicodedata.normalize("NFKC", wide[0]), text.translate(_UNSEEN))
    text = unicodedata.normalize("NFC", text).casefold().replace("i\u0307", "i")
    return _patterns()[2].sub("", text) if "\u200d" in text else text


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """(words, words and signs, the joiners behind letters) of texts that are not ASCII.

    Python's `re` has no class of marks or of pictures.
    """
    points: dict[str, list[int]] = {"marks": [], "pictures": [], "punctuation": []}
    drawn = {point for start, end in _DRAWN for point in range(start, end) if unicodedata.category(chr(point)) == "Sm"}
    of_kind = {"So": "pictures", "Mn": "marks", "Mc": "marks", "Me": "marks"}
    of_kind |= dict.fromkeys(("Po", "Pi", "Pf", "Ps", "Pe", "Cf"), "punctuation")
    for start, end in ((0x80, 0x3400), (0xA000, 0xAC00), (0xD7B0, 0xD800), (0xF900, 0x20000), (0xE0100, 0xE01F0)):
        for point in range(start, end):  # what is left out holds letters, private use and nothing
            kind = "pictures" if point in drawn else of_kind.get(unicodedata.category(chr(point)))
            if kind is not None and point != _KEYCAP:
                points[kind].append(point)
    marks, pictures, punctuation = (_class(points[kind]) for kind in ("marks", "pictures", "punctuation"))
    tone, flag = "\U0001f3fb-\U0001f3ff", "\U0001f1e6-\U0001f1ff"
    dressed = f"[{tone}\U000e0020-\U000e007f]*"  # the flag of England is a black one with tags
    keycap = rf"[0-9#*]{chr(_KEYCAP)}"
    picture = rf"(?![{flag}])[{pictures}]{dressed}(?:\u200d[{pictures}]{dressed})*|[{flag}]{{1,2}}|[{tone}]"
    unspaced = rf"(?=\w)[{_RANGES}][{marks}]*"
    single = rf"(?=\w)[{_RANGES}{_HANGUL}][{marks}]*"
    # A letter or digit that is not of those scripts, then also marks; `_` parts words, and not what is compared whole.
    parted = rf"(?![{_RANGES}{_HANGUL}_]|{keycap})\w(?:(?![{_RANGES}{_HANGUL}_]|{keycap})[\w{marks}])*"
    whole = rf"(?![{_RANGES}]|{keycap})\w(?:(?![{_RANGES}]|{keycap})[\w{marks}])*"
    signs = rf"[^\w\s{_DROPPED}{punctuation}]"
    pictures = f"{keycap}|{picture}"
    return (
        re.compile(f"{pictures}|{single}|{parted}"),
        re.compile(f"{pictures}|{unspaced}|{whole}|{signs}"),
        re.compile(rf"(?<=[\w{marks}])\u200d"),
    )


def _class(points: Iterable[int]) -> str:
    """Code points as the inside of a character class, by ranges."""
    ranges: list[list[int]] = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in ranges)
