"""The input in an app's prompt: the instruction, worked examples and whatever is put around an input come off.

An app may put its instruction into the system message or into the user's, before its input or behind it, with examples
as turns or within one text, with other spacing, quotes, fences, and labels such as "Input:" and "Answer:". What is left
is the student's input, unchanged to the character.

The instruction is known by its runs of words, without case, spacing and punctuation. A text that holds less than
`LEAST_KNOWN` of them does not hold the instruction, and nothing is taken out of it. Every pass is over the text once,
and there are a bounded number of them. No text is ever evaluated: to find a thing is all that is done with it.
"""

import bisect
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stillhouse.llm.prompted import beginning
from stillhouse.llm.worked import shown_answer
from stillhouse.records import Example
from stillhouse.student.wrapping import KINDS, Kind, Wrapping
from stillhouse.task import Task
from stillhouse.words import words

LEAST_KNOWN = 0.6  # of the instruction's runs of words; what an app says otherwise than the task may be the rest
_RUN = 4  # words of a run
_SHORT = 6  # words; an instruction of fewer is known where it stands whole, in a line or sentence of its own
_LEAST_PIECE = 0.2  # of the instruction: a smaller piece of it may be the input's own words
_BRIDGED = 4  # words between two known runs that belong to them: an app says "post" where the task says "message"
_MOST_ROUNDS = 12  # of taking off what is around an input
_LONGEST_DIRECTION = 60  # words of a line that may tell how to answer, beside the labels that it names
_LONGEST_NAME = 60  # characters of a label
_LONGEST_LINE = 20_000  # characters of such a line
_WORD = re.compile(r"\w+")
_SLOT = re.compile(r"\{\{?\s*\w+\s*\}?\}")  # where an instruction says that the input goes
# A line that tells how to answer begins with one of these, and has one of those below.
_FORM_OPENS = frozenset(
    words(
        "act allowed always answer assign available based below categories categorise categorize category "
        "choose classes classify consider decide determine do don each examples exactly following give given "
        "here identify keep label labels let make must never no note now only options output pick please "
        "possible predict provide read reply respond response return select state the these think use valid "
        "what which write you your"
    )
)
_FORM_WORDS = frozenset(
    words(
        "assistant categories category choices class classes classification classify concisely explanation "
        "explanations json label labels lowercase options output reasoning"
    )
)
_FORM_PHRASES = re.compile(
    r"\b(?:(?:answer|reply|respond|response)s? (?:with|in|using|by) |(?:answer|reply|return|output|write|give) only "
    r"|only (?:the|one|a|with) (?:answer|word|name|option)|nothing else|no other (?:text|words)|one word|single word"
    r"|(?:do not|don't|don’t) (?:explain|add|include)|step by step|not explain|(?:your|the) answer|following text)\b",
    re.IGNORECASE,
)
_COURTESY = frozenset({"please", "thanks", "thank you", "thank you very much", "many thanks"})
_EXAMPLE_BLOCK = re.compile(r"</examples?>", re.IGNORECASE)
_POINTS_AT = re.compile(r"(?:[:：=]|->|-->|=>|→|⇒)\s*")


class Turn(NamedTuple):
    """A message of a request, as text."""

    role: str
    text: str

    def as_message(self) -> dict[str, str]:
        return {"role": self.role, "content": self.text}


@dataclass(frozen=True)
class Found:
    """The input, and what of the prompt was taken out. `knows`: the request holds the task's own instruction.

    `doubt`: why it may be no input; None: nothing says so.
    """

    text: str
    taken: frozenset[str]
    knows: bool
    doubt: str | None = None


class AppPrompt:
    """Reads the input out of the prompts of one task's app. `worn`: kinds of wrapping that its training inputs have.

    None: they are not known, and wrapping comes off only where the instruction is in the same text.
    """

    def __init__(
        self,
        task: Task,
        *,
        labels: Sequence[str] | None,
        fields: Sequence[str] | None,
        shots: Sequence[Example] = (),
        worn: frozenset[str] | None = None,
    ) -> None:
        instruction = _SLOT.sub("\n", task.instruction)
        self._own = beginning(task)[0]["content"]
        self._has_slot = instruction != task.instruction
        self._known = _Runs(instruction)
        form = self._own[len(task.instruction.strip()) :]
        self._form = _Runs(form)
        self._labels = {_plain(label): label for label in labels or ()}
        self._label_words = {tuple(words(label)) for label in labels or ()} - {()}
        self._label_lengths = sorted({len(label) for label in self._label_words})
        self._shots = [(_plain(shot.text), _plain(shown_answer(task, shot))) for shot in shots]
        of_labels = {word for label in self._label_words for word in label}
        self._wrapping = Wrapping(_names_in(instruction) - of_labels, fields or ())
        self._worn, self._fields = worn, tuple(fields or ())

    def knows(self, text: str) -> bool:
        """Whether a text holds the task's instruction."""
        return self._known.share(text) >= LEAST_KNOWN

    def is_answer_label(self, text: str) -> bool:
        """Whether a text is the label of an answer, such as "Answer:", or nothing."""
        name = text.strip().rstrip(":：").strip(" *#_`>-")
        return len(text) < 100 and (not text.strip() or self._wrapping.is_answer_label(name))

    def joined(self, parts: Sequence[str]) -> str:
        """A message's parts as one text: one behind the other, unless one of them is the instruction."""
        return ("\n" if len(parts) > 1 and any(map(self.knows, parts)) else "").join(parts)

    def input_in(self, turns: Sequence[Turn]) -> Found | None:
        """The input in a request's messages; None where there is no text that could be one.

        It is in the last user message that holds more than the prompt; else in one of the others. Fields that an app
        sends as messages of their own are put together.
        """
        if any(turn.role in ("system", "developer") and _plain(turn.text) == _plain(self._own) for turn in turns):
            # Our own prompt: the user's message is the input and nothing else.
            users = [turn.text for turn in turns if turn.role == "user" and turn.text.strip()]
            return Found(users[-1], frozenset(), True) if users else None
        held = [self.knows(turn.text) for turn in turns]
        knows = any(held)
        apart = any(holds and turn.role != "user" for turn, holds in zip(turns, held, strict=True))
        for role in (("user",), ("system", "developer")):
            left: list[Found] = []
            for turn, holds in zip(reversed(turns), reversed(held), strict=True):
                if turn.role == "assistant" and left:
                    break
                if turn.role not in role or not turn.text.strip():
                    continue
                # Where the instruction stands apart, a user who quotes it in the middle of a text is no prompt.
                holds = holds and (not apart or turn.role != "user" or self._known.is_at_an_end(turn.text))
                if (found := self._taken_out(turn.text, holds, knows)) is None:
                    continue
                left.append(found)
                if not self._is_part(found.text):
                    break
            if left and (role == ("user",) or knows):
                text = "\n".join(found.text for found in reversed(left))
                return Found(text, frozenset().union(*(found.taken for found in left)), knows)
        return None

    def _is_part(self, text: str) -> bool:
        """Whether the text holds some of the input's fields and not all: the rest is in another message."""
        if len(self._fields) < 2 or text.lstrip().startswith("{"):
            return False
        n_held = sum(field_at(text, name) is not None for name in self._fields)
        return 0 < n_held < len(self._fields)

    def _taken_out(self, text: str, holds: bool, knows: bool) -> Found | None:
        """What is left of one message; None: it holds the prompt and nothing else."""
        if not holds:
            kinds = self._may_come_off(knows=False)
            inner, taken = self._unwrapped(text, kinds, knows=knows)
            if knows and self._form.share(inner) >= LEAST_KNOWN and not self._outside(inner, self._form):
                return None
            return Found(inner if taken else text, taken, knows)
        kinds = self._may_come_off(knows=True)
        outer: list[tuple[str, frozenset[str]]] = []  # before the instruction, or behind it
        within: list[tuple[str, frozenset[str]]] = []  # between two pieces of it
        pieces = self._known.pieces(text)
        for number, part in enumerate(_between(text, pieces)):
            inner, taken = self._bare(part, kinds)
            if inner.strip():
                (within if 0 < number < len(pieces) else outer).append((inner.strip(), taken))
        if not outer and not within:
            return None
        marked = [each for each in (*within, *outer) if each[1] & {"label", "fence", "tags", "quotes", "examples"}]
        # In the middle of an instruction stands an input where there is a slot for it, or where the instruction comes
        # twice; else these are words that the app has added.
        has_room = self._has_slot or any(later.place <= piece.place for piece, later in itertools.pairwise(pieces))
        inner, taken = (marked or (within if has_room else outer) or outer or within)[-1]
        return Found(inner, taken | {"instruction"}, True)

    def _may_come_off(self, *, knows: bool) -> frozenset[Kind]:
        if self._worn is None:
            return KINDS if knows else frozenset()
        return frozenset(kind for kind in KINDS if kind not in self._worn)

    def _unwrapped(self, text: str, kinds: frozenset[Kind], *, knows: bool) -> tuple[str, frozenset[str]]:
        """A text that is an input, or one in its wrapping. `knows`: the instruction is in another message."""
        if self._labels and kinds and knows and (behind := self._behind_examples(text)) is not None:
            inner, taken = self._wrapping.off(behind, kinds)
            return inner.strip(), taken | {"examples"}
        inner, taken = self._wrapping.off(text, kinds)
        # Without the instruction one label says little, for an input may end with "Result:"; one at either end do.
        both = {"label", "answer label"} <= taken
        if taken and not both and not (knows and taken & {"label", "fence", "tags"}):
            return text, frozenset()
        return inner.strip() if taken else text, frozenset(taken)

    def _bare(self, text: str, kinds: frozenset[Kind]) -> tuple[str, frozenset[str]]:
        """A part of a prompt without examples, lists of labels, lines that tell how to answer, and wrapping."""
        taken: set[str] = set()
        if (behind := self._behind_examples(text)) is not None:
            text, taken = behind, {"examples"}
        for _ in range(_MOST_ROUNDS):
            before = text
            text, off = self._wrapping.off(text.strip(), kinds)
            taken |= off
            text = self._without_directions(text.strip(), keep=bool(taken & {"label", "fence", "tags"}))
            if text == before:
                break
        return text, frozenset(taken)

    def _without_directions(self, text: str, *, keep: bool) -> str:
        """Lines at both ends that tell how to answer or list the labels are taken off. `keep`: none at the beginning,
        for a label has said where the input begins."""
        lines = text.split("\n")
        start, end = 0, len(lines)
        while start < end and not keep and (self._is_direction(lines[start]) or self._lists_label(lines, start)):
            start += 1
        while end > start and self._is_direction(lines[end - 1]):
            end -= 1
        while end > start and self._lists_label(lines, end - 1):
            end -= 1
        return "\n".join(lines[start:end])

    def _is_direction(self, line: str) -> bool:
        if not line.strip():
            return True
        if len(line) <= _LONGEST_LINE and self._form.share(line) >= LEAST_KNOWN and not self._outside(line, self._form):
            return True
        parts = words(line[:_LONGEST_LINE])
        if not parts:
            return len(line.strip()) > 2 and len(set(line.strip())) == 1
        n_labels, n_others = self._labels_in(parts)
        if n_others > _LONGEST_DIRECTION:
            return False
        names_them = bool(self._label_words) and n_labels >= max(2, len(self._label_words) // 2)
        if names_them and n_others <= 12 and (parts[0] in _FORM_OPENS or n_labels > 2 or n_others <= 2):
            return True
        if " ".join(parts) in _COURTESY:
            return True
        if parts[0] not in _FORM_OPENS or line.rstrip().endswith("?") or len(parts) > _LONGEST_DIRECTION:
            return False
        return not _FORM_WORDS.isdisjoint(parts) or _FORM_PHRASES.search(line) is not None

    def _labels_in(self, parts: Sequence[str]) -> tuple[int, int]:
        """How many of the labels are named, and how many words are none of theirs."""
        named, others, at = set[tuple[str, ...]](), 0, 0
        while at < len(parts):
            of_lengths = (tuple(parts[at : at + n]) for n in reversed(self._label_lengths))
            label = next((each for each in of_lengths if each in self._label_words), None)
            named |= set() if label is None else {label}
            others, at = others + (label is None), at + len(label or "1")
        return len(named), others

    def _lists_label(self, lines: Sequence[str], at: int) -> bool:
        """Whether the line is an entry of a list of labels: one of them, alone or with its description."""
        line = lines[at].strip(" \t-*•>#.·\"'`0123456789()")
        name, colon, _ = line.partition(":")
        if _plain(line) in self._labels or (colon and _plain(name) in self._labels):
            beside = [lines[other] for other in (at - 1, at + 1) if 0 <= other < len(lines)]
            return any(
                _plain(other.strip(" \t-*•>#.·\"'`0123456789()").partition(":")[0]) in self._labels
                or not other.strip()
                or self._is_direction(other)
                for other in beside
            )
        return False

    def _behind_examples(self, text: str) -> str | None:
        """What follows the last worked example of a text; None: there is none."""
        end = 0
        for block in _EXAMPLE_BLOCK.finditer(text):
            end = block.end()
        if self._labels or self._shots:
            end = max(end, self._end_of_answers(text))
        if not self._labels:
            end = max(end, self._end_of_pairs(text))
        behind = text[end:]
        if not end or not behind.strip() or not self._wrapping.off(behind.strip())[0].strip():
            return None
        return behind

    def _end_of_answers(self, text: str) -> int:
        """Where the last line ends that is an example's answer and has an input behind it."""
        at = end = 0
        answers = self._labels.keys() | {answer for _, answer in self._shots}
        for line in text.split("\n"):
            stop = at + len(line)
            value = _answer_in(line)
            if value is not None and _plain(value) in answers and self._points(line, value) and text[stop:].strip():
                end = stop
            at = stop + 1
        return max(end, self._end_of_shots(text))

    def _end_of_pairs(self, text: str) -> int:
        """Where the last input begins behind examples whose answers are no labels.

        It has the label of the first input, and stands behind an answer's.
        """
        at = end = 0
        first, is_answered = "", False
        for line in text.split("\n"):
            name, sign, value = line.strip(" \t\r>#*-").partition(":")
            name = _plain(name) if sign and len(name) <= _LONGEST_NAME else ""
            if name and name == first and is_answered:
                end, is_answered = at, False
            elif name and not first and (self._wrapping.is_input_label(name) or name in map(_plain, self._fields)):
                first = name
            elif name and first and value.strip() and self._wrapping.is_answer_label(name):
                is_answered = True
            at += len(line) + 1
        return end

    def _points(self, line: str, value: str) -> bool:
        """Whether the line says that the value is an answer: by an arrow, or by an answer's label."""
        head = line[: line.rfind(value)].rstrip(" \t\"'`*")
        if head.endswith(("->", "=>", "→", "⇒")):
            return True
        return head.endswith((":", "：", "=")) and self._wrapping.is_answer_label(head.rstrip(":：= *").lstrip("#>*- "))

    def _end_of_shots(self, text: str) -> int:
        """Where the last of the task's own worked examples ends, with its answer."""
        if not self._shots:
            return 0
        spans = [word.span() for word in _WORD.finditer(text)]
        starts, at, whole = [], 0, []
        for start, stop in spans:
            whole.append(text[start:stop].lower())
            starts.append(at)
            at += stop - start + 1
        joined, end = f"{' '.join(whole)} ", 0
        for shown, answer in self._shots:
            place = joined.find(f"{shown} ") if shown else -1
            if place < 0 or (place and joined[place - 1] != " "):
                continue
            place += len(shown) + 1
            answered = joined.find(f" {answer} ", place - 1, place + len(answer) + 40)
            if answered >= 0:  # else it is an input that begins as the example does
                last = bisect.bisect_left(starts, answered + len(answer) + 2) - 1
                end = max(end, spans[last][1])
        return end

    def _outside(self, text: str, known: "_Runs") -> list[str]:
        """The parts of a text that are not the known one and hold a word."""
        return [part for part in _between(text, known.pieces(text)) if _WORD.search(part)]


class _Piece(NamedTuple):
    """Where a piece of a known text stands in another, in characters, and which word of the known one is its first."""

    start: int
    end: int
    place: int


def _between(text: str, pieces: Sequence[_Piece]) -> list[str]:
    """The parts of a text before, between and behind the pieces."""
    ends = [0, *(piece.end for piece in pieces)]
    starts = [*(piece.start for piece in pieces), len(text)]
    parts = [text[end:start] for end, start in zip(ends, starts, strict=True)]
    return [parts[0], *map(_without_stump, parts[1:])]


class _Runs:
    """A known text as its runs of words, and where another text holds them."""

    def __init__(self, text: str) -> None:
        self._words = [word.lower() for word in _WORD.findall(text)]
        self._n = min(_RUN, len(self._words))
        self._runs: dict[tuple[str, ...], int] = {}  # each run, and the place of its first word
        for at, run in enumerate(self._of(self._words)):
            self._runs.setdefault(run, at)

    def _of(self, parts: Sequence[str]) -> Iterator[tuple[str, ...]]:
        if self._n:
            yield from zip(*(parts[at:] for at in range(self._n)), strict=False)

    def share(self, text: str) -> float:
        """The share of the runs that the text holds. Of a short text all or nothing: its words are in many others."""
        if not self._runs:
            return 0.0
        if len(self._words) < _SHORT:
            return float(bool(self.pieces(text)))
        parts = [word.lower() for word in _WORD.findall(text)]
        return len(self._runs.keys() & set(self._of(parts))) / len(self._runs)

    def is_at_an_end(self, text: str) -> bool:
        """Whether the text begins or ends with a piece of the known one."""
        pieces = self.pieces(text)
        return bool(pieces) and (not _WORD.search(text[: pieces[0].start]) or not _WORD.search(text[pieces[-1].end :]))

    def pieces(self, text: str) -> list[_Piece]:
        """Where pieces of the known text stand; small ones may be the text's own words, and are none."""
        if not self._n:
            return []
        spans = [word.span() for word in _WORD.finditer(text)]
        parts = [text[start:stop].lower() for start, stop in spans]
        zones: list[list[int]] = []  # the first word, the one behind the last, and the first one's place
        place = 0  # in the known text, of the word that would go on with the last zone
        for at, run in enumerate(self._of(parts)):
            if (found := self._runs.get(run)) is None:
                continue
            if zones and (at <= zones[-1][1] or self._says_otherwise(at - zones[-1][1], found - place)):
                zones[-1][1] = at + self._n
            else:
                zones.append([at, at + self._n, found])
            place = found + self._n
        least = max(self._n, min(12, _LEAST_PIECE * len(self._words)))
        found_here = [
            _Piece(spans[first][0], spans[stop - 1][1], word) for first, stop, word in zones if stop - first >= least
        ]
        if len(self._words) >= _SHORT:
            return found_here
        return [piece for piece in found_here if self._is_whole(text, piece)]

    def _is_whole(self, text: str, piece: _Piece) -> bool:
        """Whether a piece is all of the known text, in a line or sentence of its own at an end of a line."""
        held = [word.lower() for word in _WORD.findall(text[piece.start : piece.end])]
        before, behind = text[: piece.start].rstrip(" \t*_#>-\"'"), text[piece.end :].lstrip(" \t*_\"')")
        return (
            held == self._words
            and (not before or before[-1] in "\n\r")
            and (not behind or behind[0] in "\n\r.:?!。：？！")
        )

    @staticmethod
    def _says_otherwise(n_words: int, n_known: int) -> bool:
        """Whether so many words between two pieces stand for so many of the known text.

        Where none of the known text is left out between the pieces, an input may stand there.
        """
        return n_known > 0 and n_words <= _BRIDGED + n_known <= 3 * _BRIDGED


def _without_stump(part: str) -> str:
    """A part without the punctuation, or the few words of its own, with which the instruction's last line ends."""
    stump, newline, rest = part.partition("\n")
    n, ends = len(words(stump)), stump.strip()
    if newline and rest.strip() and (n == 0 or (n <= _BRIDGED and (ends[0] in ",;" or ends[-1] == ":"))):
        return rest
    return part.lstrip(" \t.:;,!?)]*_")


def _answer_in(line: str) -> str | None:
    """What stands behind the last sign in a line that points at an answer."""
    ends = [sign.end() for sign in _POINTS_AT.finditer(line)]
    return line[ends[-1] :].strip(" \t\r\"'`*.,;") if ends else None


def _names_in(instruction: str) -> set[str]:
    """Words of the instruction by which an app may name its input or its answer."""
    return {word for word in words(instruction) if len(word) > 2}


def field_at(text: str, name: str, start: int = 0) -> tuple[int, int] | None:
    """Where a field's label begins at a line's start, and where its value does; None: it does not."""
    spelled = r"[\s_\-]*".join(map(re.escape, re.split(r"[\s_\-]+", name)))
    found = re.compile(rf"^[ \t>#*_\-]*{spelled}[ \t*_]*[:：=][*_]*[ \t]*", re.IGNORECASE | re.MULTILINE).search(
        text, start
    )
    return None if found is None else found.span()


def _plain(text: str) -> str:
    """A text as its words."""
    return " ".join(word.lower() for word in _WORD.findall(text))
