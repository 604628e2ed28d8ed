"""The filters that Stanford Alpaca's script puts between the teacher and the data.

Each has a name, so that it can be switched off and counted. They judge the instruction alone; only `refusal`, which
the script does not have, reads the output. Two of them are blunt:
"words" takes out what a text model cannot do, and also "map the causes"; "program" was made for one habit of one
teacher. They are here because a set "made as Alpaca's" must be made with them.
"""

import re
import string
from collections.abc import Callable, Iterable

from stillhouse.errors import UserError
from stillhouse.words import units

# Fewest and most words of an instruction: Alpaca's script drops those of 3 words or fewer.
LEAST_WORDS, MOST_WORDS = 4, 150
# Words that ask for eyes, ears, hands or a disk, as Alpaca's script lists them.
UNSUITABLE = (
    *("audio", "diagram", "draw", "file", "files", "flowchart", "go to", "graph", "graphs", "image", "images"),
    *("map", "maps", "music", "picture", "pictures", "plot", "video"),
)
_UNSUITABLE = re.compile(rf"\b(?:{'|'.join(UNSUITABLE)})\b", re.IGNORECASE)


def length(instruction: str) -> bool:
    """Too short to say anything, or longer than an instruction is."""
    n_words = len(instruction.split() if instruction.isascii() else units(instruction))
    return not LEAST_WORDS <= n_words <= MOST_WORDS


def words(instruction: str) -> bool:
    """Names something that a text model cannot do."""
    return _UNSUITABLE.search(instruction) is not None


def program(instruction: str) -> bool:
    """Begins with "Write a program"."""
    return instruction.startswith("Write a program")


def punctuation(instruction: str) -> bool:
    """Begins with a punctuation mark: the rest of a sentence, or of a list."""
    return instruction[:1] in string.punctuation


def ascii_start(instruction: str) -> bool:
    """Begins with a character outside ASCII."""
    return not instruction[:1].isascii()


_CANNOT = (
    r"(?:(?:can(?:no|')t|can not|am (?:not able|unable)|am not (?:allowed|permitted)|won't|will not"
    r"|(?:do not|don't) have (?:the ability|access|real|any|personal|direct)|must decline|(?:have|need) to decline)"
    r"|'m (?:not able|unable))"
)
_SORRY = (
    r"(?:(?:i'?m|i am|we'?re|we are)? ?(?:so |very |really |terribly )?sorry\b[,.!;:]? ?(?:but )?"
    r"|(?:my |i )?apolog(?:ies|ize|ise)\b[^.!\n]{0,30}[,.;:]? ?(?:but )?|unfortunately,? ?|regrettably,? ?)"
)
_AS_A_MODEL = r"(?:(?:as|being) an? (?:ai|artificial|large|language|assistant|text)[^\n]{0,60}?,? ?)"
_REFUSAL = re.compile(
    rf"^\W*{_SORRY}?{_AS_A_MODEL}?i ?{_CANNOT}\b(?! wait\b| help (?:but|\w+ing)\b)[^.!?\n]*"
    r"|^\W*(?:as|i(?: am|'m)(?: just| only)?) an? (?:ai|large)? ?(?:language )?model\b",
    re.IGNORECASE,
)
# What an assistant says that it cannot do. A person who "can't come to your party" may well be an exercise's output.
_TASKS = re.compile(
    r"\b(?:help|assist|provide|generate|create|access|browse|complete|fulfil\w*|answer|comply|process|view|see|open|play"
    r"|perform|discuss|write|produce|offer|engage|support|do (?:that|this)|give|the ability|real-?time|personal|share"
    r"|continue|respond|watch|listen|look|search|execute|run|internet|content|information|request|model)\b",
    re.IGNORECASE,
)


def refusal(output: str) -> bool:
    """The teacher says that it cannot or may not do what its own exercise asks for."""
    found = _REFUSAL.match(output.replace("\u2019", "'"))
    return found is not None and _TASKS.search(found[0]) is not None


OF_ANSWERS = frozenset({"refusal"})  # rules that read an exercise's output
RULES: dict[str, Callable[[str], bool]] = {
    "length": length,
    "words": words,
    "program": program,
    "punctuation": punctuation,
    "ascii": ascii_start,
    "refusal": refusal,
}


def switched(off: Iterable[str] = ()) -> dict[str, Callable[[str], bool]]:
    """The rules without those that are switched off. Raises UserError for a name that is none."""
    off = set(off)
    if unknown := sorted(off - set(RULES)):
        raise UserError(f"{unknown[0]!r} is no rule that could be switched off; the rules are {', '.join(RULES)}")
    return {name: rule for name, rule in RULES.items() if name not in off}
