"""How a task's own vocabulary spells text: digits by their places, capitals by a mark, spaces in answers by a sign.

It needs the standard library alone: an exported student takes this file along. `tokenizer` says why text is cut so.
"""

import re

_SPACE = "\u2423"  # the sign for a space in an answer; plain spaces part tokens and are dropped
_CAPITAL = "\u21e7"  # the sign before a word that begins with a capital
_PLACES = 8  # the ninth digit of a number has the first place's figures again
FIGURES = [chr(0xE000 + number) for number in range(10 * _PLACES)]  # ten private-use characters per place
FIGURE = re.compile(f"[{FIGURES[0]}-{FIGURES[-1]}]")
_QUOTED = re.compile(r"""('[^'\n]*'|"[^"\n]*")""")


def as_question(text: str, most: int | None = None) -> str:
    """Words, figures and signs, each apart; the first `most` of them, each of which is a token or more."""
    return " ".join(re.findall(r"\w+|[^\w\s]", _with_capitals(_with_places(text)))[:most])


def as_answer(text: str) -> str:
    """Quoted values cut as a question is, spaces kept; the rest in one piece."""
    spaced = _with_places(text).replace(" ", _SPACE)
    return "".join(_cut(part) if at % 2 else part for at, part in enumerate(_QUOTED.split(spaced)))


def from_answer(decoded: str) -> str:
    """The text of an answer's tokens. The first few tokens give the first part of the text."""
    decoded = re.sub(f"{_CAPITAL}+(.?)", lambda marked: marked[1].upper(), decoded)
    decoded = FIGURE.sub(lambda figure: str(FIGURES.index(figure[0]) % 10), decoded)
    return decoded.replace(_SPACE, " ")


def _cut(value: str) -> str:
    return re.sub(f"([{_SPACE}{_CAPITAL}])", r" \1 ", _with_capitals(value))


def _with_places(text: str) -> str:
    """Every digit as the figure of its value and place."""

    def figures(number: re.Match[str]) -> str:
        return "".join(FIGURES[place % _PLACES * 10 + int(digit)] for place, digit in enumerate(number[0]))

    return re.sub("[0-9]+", figures, text)


def _with_capitals(text: str) -> str:
    """Every capitalised word as the mark and the word in lower case."""

    def marked(word: re.Match[str]) -> str:
        return _CAPITAL + word[0].lower() if _is_capitalised(word[0]) else word[0]

    return re.sub(r"[^\W\d_]+", marked, text)


def _is_capitalised(word: str) -> bool:
    """Whether the mark and the word in lower case give the word back."""
    lowered = word.lower()
    return word != lowered and lowered[0].upper() + lowered[1:] == word
