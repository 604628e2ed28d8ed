"""Which of the allowed labels a reply names.

A label's own spelling comes first, then its spelling in another case, then its place among the choices ("(b)"). A reply
that only holds a label somewhere must name it by itself: borders know letters of any script and what belongs to a word
or a number (`C++`, `.NET`, `-1`, `1.5`, `non-spam`). A second label that stands by itself, a denial ("not spam"), a
question and a letter that contradicts its text are rejections with their reason. Whatever is in doubt is rejected.

This is no parser of language. It errs on the side of rejecting: a row that is asked again or left out costs less than a
wrong label.
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stillhouse.llm.affirmed import BELONGS, OPENERS, affirmed
from stillhouse.words import UNSPACED

SEVERAL = "ambiguous: the reply names several labels"
NO_LABEL = "the reply names no label"
DENIED = "the reply denies or doubts the label that it names"
ASKED = "the reply asks about a label and gives none"
CASE_ALONE = "ambiguous: the labels differ in case alone, and the reply has neither spelling by itself"
CONTRADICTED = "ambiguous: the letter and the text of the reply name different labels"
UNCERTAIN = "the reply holds a label only as part of a sentence, where it may mean something else"
TOO_LONG = "the reply is too long to name a label"

LONGEST_READ = 20_000  # most characters of a reply that is searched for a label
_MOST_MENTIONS = 200  # so often may a reply name its label; each time is checked for a denial


@dataclass(frozen=True, slots=True)
class ReadLabel:
    """The label and how it was read, or why there is none. `at`: where in the reply the label begins, as far as known.

    Strict: the reply is the label, up to a full stop and the way accents are composed.
    """

    label: str | None
    how: Literal["strict", "lenient"] | None = None
    error: str | None = None
    at: int = 0


def read_label(answer: str, allowed: Sequence[str]) -> ReadLabel:
    """The label that a reply names, of those that are allowed."""
    for text in (answer, answer.removesuffix(".")):
        if text in allowed:
            return ReadLabel(text, "strict")
    if len(answer) > LONGEST_READ:
        return ReadLabel(None, error=TOO_LONG)
    return _read(answer, _labels(tuple(allowed)))


def _read(answer: str, labels: "_Labels", *, places: bool = True) -> ReadLabel:
    """As `read_label`; `places`: whether a letter may stand for the place of a choice."""
    for text in (nfc(answer), nfc(answer.removesuffix("."))):
        if len(composed := labels.composed.get(text, [])) == 1:
            return ReadLabel(composed[0], "strict")
    typed = _typed(answer)
    for inner in peeled(typed):
        whole = labels.whole(inner)
        if len(whole) == 1:
            return _found(answer, whole[0])
        if whole:
            return ReadLabel(None, error=CASE_ALONE)
    read = _named(typed, labels)
    if read.label is None and read.error == NO_LABEL and labels.parts is not None:
        read = _by_parts(answer, labels.parts)
    elif places and not labels.has_marks:  # letters are places only where no label is a letter or a number itself
        read = _with_letter(typed, read, labels)
    return _found(answer, read.label) if read.label is not None else read


def _found(answer: str, label: str) -> ReadLabel:
    at = answer.find(label)
    if at < 0 and len(answer.lower()) == len(answer):
        at = answer.lower().find(label.lower())
    return ReadLabel(label, "lenient", at=max(at, 0))


# Spelling

_TYPED = str.maketrans(
    {
        **dict.fromkeys("‘’ʼ‛′", "'"),
        **dict.fromkeys("“”„‟«»‹›「」『』《》〈〉″", '"'),
        **dict.fromkeys("‐‑−﹣", "-"),
        **dict.fromkeys("【〔", "["),
        **dict.fromkeys("】〕", "]"),
        **dict.fromkeys("\t\xa0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000", " "),
        **dict.fromkeys("\r\x0b\x0c\x85\u2028\u2029", "\n"),
        # Without width, or a choice of drawing: marks of direction, byte order marks, variation selectors.
        **dict.fromkeys("\u200b\u200c\u200e\u200f\u061c\u2060\ufeff\ufe0e\ufe0f\xad", ""),
        **dict.fromkeys("\u202a\u202b\u202c\u2066\u2067\u2068\u2069", ""),
        **{chr(full): chr(full - 0xFEE0) for full in range(0xFF01, 0xFF5F)},  # letters as wide as a Chinese character
        # Roman numerals of one sign, and the letters that look bold or italic without markup
        **{chr(c): unicodedata.normalize("NFKC", chr(c)) for c in (*range(0x2160, 0x2180), *range(0x1D400, 0x1D800))},
    }
)


def nfc(text: str) -> str:
    """With accents composed: the same letters, however they were typed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _typed(text: str) -> str:
    """As a plain keyboard types it; an en dash before a digit is a minus."""
    text = re.sub(r"(?<=[^\W\d_])[`´](?=[^\W\d_])", "'", text)
    if text.isascii():
        return text.replace("\t", " ").replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"(?<=[\u0370-\u03ff\u1f00-\u1fff])[;\u037e](?=\s|$)", "?", text)  # the Greek question mark
    text = re.sub(r"(?<=«)[ \xa0\u202f]|[ \xa0\u202f](?=»)", "", text)
    return re.sub(r"(?<!\d)–(?=\d)", "-", nfc(text.replace("\r\n", "\n").translate(_TYPED)))


def _lower(text: str, turkish: bool) -> str:
    """Without case, as long as before. Turkish has two letters i: I is the capital of ı, and İ of i."""
    text = text.replace("İ", "i").replace("I", "ı" if turkish else "i")
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _separated(text: str) -> str:
    """With one way to part the words of a label: "bug-fix" and "bug_fix" are "bug fix"; "-1" and "1-2" stay."""
    return re.sub(r"(?<=[^\W\d_])[\s_-]+(?=[^\W\d_])", " ", " ".join(text.split()))


_ENDS = ".!,;:。！，、；：।"
_WRAPPERS = (
    ("**", "**"),
    ("\\(", "\\)"),
    ("\\[", "\\]"),
    ("__", "__"),
    ("```", "```"),
    *(pair.split(" ") for pair in ("( )", "[ ]", "{ }", "< >")),
)
_QUOTES = ("*", "_", "`", '"', "'", "$")


def peeled(text: str) -> list[str]:
    """The text, and what is left of it as quotes, emphasis, brackets and closing punctuation come off one by one."""
    text = _typed(text).strip()
    layers = [text]
    while text:
        inner = _layer_off(text).strip()
        if inner == text:
            break
        text = inner
        layers.append(text)
        if len(layers) > 20:
            break
    return layers


def _layer_off(text: str) -> str:
    for left, right in (*_WRAPPERS, *((quote, quote) for quote in _QUOTES)):
        if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
            return text[len(left) : -len(right)]
    if text[-1] in _ENDS:
        return text[:-1]
    if re.match(r"(?:[-*•>]|#{1,6}) +[^\d\s]", text):  # a bullet; before a number it may be a minus
        return text[1:].lstrip("#")
    if text.endswith(")") and text.count("(") == 0:  # "B)"
        return text[:-1]
    return text


# The labels

# Labels that are everyday words as well: inside a sentence they mean something else.
_EVERYDAY = """
    a i no not none other others all any some both neither either it so or and in on off to up down by for of as at is
    us we he one two more less same yes
"""
_PROSE = frozenset(_EVERYDAY.split())
_GOES_ON = re.compile(r", +(?:let|i|we|you|it|the|this|that|a|an|consider|note|here|in|to|both)\b", re.IGNORECASE)
_FIRST_OF_A_LIST = re.compile(  # "1. It is long."
    r"[.)] +(?:it|this|that|there|i|you|he|she|they|we|(?:the|my|its?) [\w'-]+ (?:is|are|was|has|have|does))(?!\w)",
    re.IGNORECASE,
)
_ORDINALS = frozenset(("first", "second", "third", "now", "well", "finally", "next", "last"))


@dataclass(frozen=True)
class _Labels:
    """The labels with what is asked of them again and again."""

    own: tuple[str, ...]  # without doubles, in the order of the choices
    order: tuple[str, ...]  # as given: the place of a choice counts
    forms: dict[str, str]  # label -> as a keyboard types it
    composed: dict[str, list[str]]  # spelling -> the labels that have it, up to how accents are composed
    spellings: tuple[dict[str, list[str]], ...]  # the same for the other ways to spell, the nearest first
    patterns: tuple[tuple[re.Pattern[str], str, bool], ...]  # longest first: pattern, label, with Turkish i
    any_of: tuple[tuple[re.Pattern[str], bool], ...]
    symbols: frozenset[str]  # labels without a letter, digit or picture, such as "?"
    has_marks: bool
    by_letter: dict[str, str] | None  # letter -> the label that it stands for; None: "(b)" may mean several things
    has_negative: bool
    parts: tuple[tuple[str, str, str], ...] | None  # (label, its mark, its text) where labels are like "A) Paris"

    def whole(self, text: str) -> list[str]:
        """The labels that a text can be as a whole: of the nearest spelling at which there are any."""
        for spell, labels in zip(_SPELLINGS, self.spellings, strict=True):
            found = dict.fromkeys(label for spelled in spell(text) for label in labels.get(spelled, ()))
            if found:
                return list(found)
        return []


def _collapsed(text: str) -> str:
    return " ".join(text.split())


def _as_typed(text: str) -> set[str]:
    return {_collapsed(text)} - {""}


def _without_case(text: str) -> set[str]:
    return {_collapsed(text.casefold()), *(_collapsed(_lower(text, turkish)) for turkish in (False, True))} - {""}


def _in_any_parts(text: str) -> set[str]:
    return {_separated(_lower(text, turkish)) for turkish in (False, True)} - {""}


_SPELLINGS = (_as_typed, _without_case, _in_any_parts)


def _by_spelling(spell: Callable[[str], Iterable[str]], forms: Mapping[str, str]) -> dict[str, list[str]]:
    labels: dict[str, list[str]] = {}
    for label, form in forms.items():
        for spelled in spell(form):
            labels.setdefault(spelled, []).append(label)
    return labels


@functools.lru_cache(maxsize=1024)
def _labels(allowed: tuple[str, ...]) -> _Labels:
    own = tuple(dict.fromkeys(allowed))
    forms = {label: _typed(label).strip() for label in own}
    symbols = frozenset(label for label, form in forms.items() if not any(_is_word(c) or _is_picture(c) for c in form))
    searched = sorted((label for label in own if label not in symbols), key=lambda label: -len(forms[label]))
    turkish = (False, True) if any(c in form for form in forms.values() for c in "Iİı") else (False,)
    patterns = [(label, way, _pattern(_lower(forms[label], way))) for way in turkish for label in searched]
    any_of = tuple(
        (re.compile("|".join(source for _, other, source in patterns if other == way)), way)
        for way in turkish
        if searched
    )
    return _Labels(
        own,
        allowed,
        forms,
        _by_spelling(lambda label: [nfc(label)], {label: label for label in own}),
        tuple(_by_spelling(spell, forms) for spell in _SPELLINGS),
        tuple((re.compile(source), label, way) for label, way, source in patterns),
        any_of,
        symbols,
        any(_is_mark(form) for form in forms.values()),
        _by_letter(allowed),
        any(form.startswith("-") for form in forms.values()),
        _parts(own),
    )


def _by_letter(order: Sequence[str]) -> dict[str, str] | None:
    """What "(b)" stands for: the second choice, or the one label that holds the letter as a word ("Grade B").

    Where some labels hold such a letter and others hold none, or the same one, no letter stands for anything.
    """
    places = {chr(ord("a") + place): label for place, label in enumerate(order[:26])}
    held = [_letters(label) for label in dict.fromkeys(order)]
    if not any(letters & places.keys() for letters in held) and sum(map(bool, held)) < 2:
        return places
    own = {letter: label for label, letters in zip(dict.fromkeys(order), held, strict=True) for letter in letters}
    clear = len(own) == len(held) and all(len(letters) == 1 for letters in held)
    return own if clear and not any(re.search(r"\d", label) for label in order) else None


def _letters(label: str) -> set[str]:
    """The words of one letter in a label, without the article ("a library") and what an apostrophe cuts off."""
    words = re.finditer(r"(?<![^\W\d_])(?<!')[A-Za-z](?![^\W\d_'])", _typed(label))
    return {word[0].lower() for word in words if re.match(r"a +[^\W\d_]{2}", _typed(label)[word.start() :]) is None}


def _pattern(form: str) -> str:
    parts = re.split(r"(?<=[^\W\d_])[\s_-]+(?=[^\W\d_])", form)
    return r"[ \n_-]+".join(r"\s+".join(map(re.escape, part.split())) for part in parts)


def _parts(own: Sequence[str]) -> tuple[tuple[str, str, str], ...] | None:
    mark = r"[^\W_]{1,2}|[ivx]{3,5}|[IVX]{3,5}"
    read = [re.fullmatch(rf"[(\[]?({mark})(?:[.):\]]|\s[-=])\s+(\S.*)", _typed(label), re.DOTALL) for label in own]
    parts = tuple((label, match[1], match[2]) for label, match in zip(own, read, strict=True) if match is not None)
    distinct = all(len({part[place].casefold() for part in parts}) == len(own) for place in (1, 2))
    return parts if distinct else None


def _is_word(c: str) -> bool:
    return c.isalnum() or c == "_" or unicodedata.category(c)[0] == "M"


def _is_picture(c: str) -> bool:
    return unicodedata.category(c) in ("So", "Sk") and not c.isascii()


def _is_short(form: str) -> bool:
    """A number, or a label of one or two letters, such as "C" and "en": easily found where it is not meant."""
    by_syllables = UNSPACED.match(form) is not None or "가" <= form[:1] <= "힣"
    return (len(form) <= 2 and form.isalnum() and not by_syllables) or _is_number(form)


_ROMAN = re.compile(r"[ivx]{2,5}|[IVX]{2,5}")


def _is_mark(form: str) -> bool:
    """A letter or a number, also a Roman one: what else marks the places of choices."""
    return (_is_short(form) and (len(form) == 1 or _is_number(form))) or _ROMAN.fullmatch(form) is not None


def _is_number(form: str) -> bool:
    return re.fullmatch(r"[-+]?\d[\d.,]*", form) is not None


# Labels in a sentence


@dataclass(frozen=True, slots=True)
class _Mention:
    start: int
    end: int
    labels: tuple[str, ...]  # several where they differ in case alone
    sure: bool


def _named(text: str, labels: _Labels) -> ReadLabel:
    """The one label that a reply names by itself, and does not deny."""
    mentions = _mentions(text, labels)
    if not mentions:
        after = text.rpartition(":")[2]
        whole = [label for inner in peeled(after) for label in labels.whole(inner) if label in labels.symbols]
        return ReadLabel(whole[0], "lenient") if ":" in text and whole else ReadLabel(None, error=NO_LABEL)
    if len(mentions) > _MOST_MENTIONS:
        return ReadLabel(None, error=TOO_LONG)
    if len({mention.labels for mention in mentions}) > 1 or _behind_another(text, mentions[0], labels):
        return ReadLabel(None, error=SEVERAL)
    if len(mentions[0].labels) > 1:
        return ReadLabel(None, error=CASE_ALONE)
    lower = _masked(_lower(text, False), mentions)
    for mention in mentions:
        if _denied(lower, mention):
            return ReadLabel(None, error=DENIED)
        if _sentence_end(lower, mention.end) in tuple("?？؟"):
            return ReadLabel(None, error=ASKED)
    if not any(mention.sure and _is_given(lower, mention, labels) for mention in mentions):
        return ReadLabel(None, error=UNCERTAIN)
    return ReadLabel(mentions[0].labels[0], "lenient")


def _behind_another(text: str, mention: _Mention, labels: _Labels) -> bool:
    """Whether only openings stand before a label and one of them is another label: "yes no", "Ok, yes, then no"."""
    words = re.findall(r"\w+", text[max(0, mention.start - _LOOK) : mention.start])
    others = [any(label not in mention.labels for label in labels.whole(word)) for word in words]
    return any(others) and all(
        other or OPENERS.fullmatch(word.lower()) is not None for other, word in zip(others, words, strict=True)
    )


def _mentions(text: str, labels: _Labels) -> list[_Mention]:
    """Where labels stand by themselves, the longest at each place."""
    spans: dict[tuple[int, int], set[str]] = {}
    lowers = {way: _lower(text, way) for _, way in labels.any_of}
    for any_of, way in labels.any_of:
        lower, at = lowers[way], 0
        while (match := any_of.search(lower, at)) is not None:
            start = match.start()
            for pattern, label, turkish in labels.patterns:
                if turkish != way or (here := pattern.match(lower, start)) is None:
                    continue
                by_itself = spans.setdefault((start, here.end()), set())
                if not _attached_before(text, start, labels) and (
                    text.startswith("(", here.end()) or not attached_after(text, start, here.end())
                ):
                    by_itself.add(label)
            at = start + 1
    kept: list[_Mention] = []
    covered = 0
    for (start, end), found in sorted(spans.items(), key=lambda span: (span[0][0], -span[0][1])):
        if end <= covered:
            continue  # part of a longer label; in "bug fixes" neither "bug fix" nor "bug" stands by itself
        covered = end
        if not found:
            continue
        mention = _mention(text, start, end, [label for label in labels.own if label in found], labels)
        if mention is not None:
            kept.append(mention)
    return kept


def _mention(text: str, start: int, end: int, found: Sequence[str], labels: _Labels) -> _Mention | None:
    """A label in a sentence; None where the words there are an everyday word of the sentence."""
    written = text[start:end]
    if len({_lower(labels.forms[label], False) for label in found}) > 1:  # "bug-fix" beside "bug fix"
        nearest = [label for label in found if _lower(labels.forms[label], False) == _lower(written, False)]
        found = nearest or found
    form = labels.forms[found[0]]
    capitals = form.isupper() and len(form) <= 4 and form.isalpha() and written != form
    everyday = form.casefold() in _PROSE
    sure = True
    if _is_short(form) or everyday or capitals:
        sure = _answers(text, start, end)
        if not sure and (everyday or capitals) and (capitals or _runs_on(text, end)):
            return None
    if form == "1" and _FIRST_OF_A_LIST.match(text, end) and _begins(text, start):
        sure = False
    if written.casefold() in _ORDINALS and _GOES_ON.match(text, end) and _begins(text, start):
        return None  # "First, let me compare"
    return _Mention(start, end, tuple(found), sure)


_NUMBERED = re.compile(r"[^\W\d_]{0,3}\d+(?!\w* ?>)")
_COMPARED = re.compile(r"(?:(?<![-=<>\w/\"'])[<>]|[<>]=|[≤≥≈~±≠]|[:=] ?-) ?$")  # ">3" and "Score: - 3"; not "<b>3</b>"


def _attached_before(text: str, start: int, labels: _Labels) -> bool:
    """Whether what stands before belongs to the same word or number."""
    if start == 0:
        return False
    before, first = text[start - 1], text[start]
    further = text[start - 2 : start - 1]
    if _COMPARED.search(text, max(0, start - _LOOK), start) and _NUMBERED.match(text, start):
        return True
    if first.isdigit():
        if re.search(r"(?:\bminus|\bnegative) $", text[max(0, start - 10) : start], re.IGNORECASE):
            return True
        if text[:start].endswith("- ") and labels.has_negative:
            return True
    if _is_picture(first):
        return _joins_pictures(before, first)
    if _is_word(before):
        if UNSPACED.match(before) or UNSPACED.match(first):
            lead = _JOINED_BEFORE.search(text, max(0, start - 12), start)
            return lead is None or lead[0] in labels.own  # "是否" asks whether, where 是 and 否 are the labels
        return True
    if before == "'":
        return further.isalpha()
    if before == ".":
        return further != "."
    if before == "-":
        return further != "-"
    if before == "!" and not further.isalnum():  # "!spam" denies it; "Yes!spam" does not
        return True
    if before in ",:*":
        return first.isdigit() and further.isdigit()
    return before in "+#@&/\\~^$€£¥%"


def attached_after(text: str, start: int, end: int) -> bool:
    """Whether what follows the label belongs to the same word or number: the "++" of "C++", the ".5" of "1.5"."""
    if end == len(text):
        return False
    after, last = text[end], text[end - 1]
    further = text[end + 1 : end + 2]
    if _is_picture(last):
        return _joins_pictures(last, after)
    if unicodedata.category(after)[0] == "M":
        return True
    if _is_word(after):
        if UNSPACED.match(after) or UNSPACED.match(last) or "가" <= after <= "힣":
            return _JOINED_AFTER.match(text, end) is None
        return True
    if after == "'":
        return further.isalpha()
    if after == ".":
        return further != "" and _is_word(further)
    if after == "-":
        return end - start <= 2 or (further != "" and _is_word(further))
    if after in ",:*":
        return last.isdigit() and further.isdigit()
    if after in "%°":
        return last.isdigit()
    if after == "(":
        return True
    return after in "+#@&/\\~^"


def _joins_pictures(before: str, after: str) -> bool:
    """Emoji join by a zero-width joiner, a skin tone, or as the two letters of a flag."""
    return "\u200d" in (before, after) or "\U0001f3fb" <= after <= "\U0001f3ff" or _is_flag(before + after)


def _is_flag(pair: str) -> bool:
    return all("\U0001f1e6" <= c <= "\U0001f1ff" for c in pair)


# Chinese, Japanese and Thai put no space between words. A label is taken where the words beside it are of those that
# stand beside an answer; in 熊猫 (panda) the label 猫 (cat) does not stand by itself.
_JOINED_BEFORE = re.compile(
    r"""(?:(?:答案|标签|標籤|类别|類別|选项|選項)(?:是|为|為)|是|為|为|属于|屬於|选|選|选择|選擇|选项|選項|答案|标签|標籤|类别|類別|選択肢|归为
    |即|は|が|คือ|เป็น|ตอบ|一个|一個|一封|一条)$""",
    re.VERBOSE,
)
_JOINED_AFTER = re.compile(
    rf"""(?:的(?!\w)|[分星点點](?!\w)|类(?!\w)|類(?!\w)|(?:类别|類別)(?!\w)|是正确|是对的|吧(?!\w)|因为|因為|です(?!か)|でした
    |だ(?!\w)|である|{BELONGS}|입니다|이다|예요|이에요|임(?!\w)|ครับ|ค่ะ|เพราะ)""",
    re.VERBOSE,
)


# What stands around a short label that is the answer

_LEADS = re.compile(
    r"""(?:^|[\n:=>|→⇒✅✔]|[.;!?)]\s|\s[-–—])[\s*_`"'(\[{<]*$
    |(?<!\w)(?:is|be|as|answer|option|choice|label|grade|class|category|rating|score|level|rank|number|letter|type
    |select|selected|choose|chose|chosen|pick|picked|say|it's|that's|go\ with|going\ with|give\ it|rate\ it|rated
    |would\ be|(?:it|this|that)\ (?:to|as|at|under)|ist|lautet|est|es|é|è|это|ответ|respuesta|réponse|antwort
    |risposta|resposta|cevap|الإجابة|الصحيحة|هي|هو)
    \s*(?:(?:the|an?|la|le|el|die|der|das)\s+)?(?:answer\s+|option\s+|choice\s+|label\s+|letter\s+|class\s+|grade\s+)?[\s*_`"'(\[{<]*$
    |(?<!\w)(?:so|therefore|thus|hence|then|yes|ok|okay|sure),?\s+[*_`"'(\[{<]*$
    |(?:是|为|為|选|選|案|项|項|肢|は|คือ|ตอบ|정답은|답은)[\s*_`"'(\[{<]*$
    |\\(?:boxed|text|textbf|mathrm|mathbf)[({]$""",
    re.IGNORECASE | re.VERBOSE,
)
_CLOSES = re.compile(
    r"""[*_`"')\]}>$\\]*(?:$|\n|[.,;:!?)|<。，、！；：](?!\d)|\s*\||\s*[-–—]\s|\s+\(
    |\s+(?:because|since|as|due|given|based|and|or|nor|stars?|points?|out|porque|weil|parce|потому|puisque|denn)(?!\w)
    |\s+(?:is|was|would\ be|seems)\s+(?:the\s+|my\s+)?(?:final\s+)?
    (?:correct|right|best|answer|most|only|appropriate)(?!\w)
    |的|吧|です|だ|입니다|因|[分星点點](?!\w)|是正确|是对的)|[*_`"')\]}>]+\s""",
    re.IGNORECASE | re.VERBOSE,
)
_LOOK, _LOOK_FAR = 60, 400  # characters beside a label that are looked at: for what leads to it, for its sentence


def _answers(text: str, start: int, end: int) -> bool:
    """Whether a short label stands where answers stand: led to, and closed off."""
    leads = _LEADS.search(text[max(0, start - _LOOK) : start])
    return leads is not None and _CLOSES.match(text, end) is not None


def _runs_on(text: str, end: int) -> bool:
    """Whether an everyday word goes on, as in "a dog", "no idea" and "no. 5"; the A of "A>B" does not."""
    return re.match(r"\. ?\d", text[end : end + 3]) is not None or (
        _CLOSES.match(text, end) is None and re.match(r"[-=]*[<>=→]", text[end : end + 9].lstrip()) is None
    )


def _begins(text: str, start: int) -> bool:
    return re.search(r"(?:^|[\n.!?:]\s*)$", text[max(0, start - _LOOK) : start]) is not None


# Denials

_DENIALS = re.compile(
    r"""n't(?!\w)|[≠¬∉]|!=|<>|=?/=|\\neq?(?![a-z])|\\not(?![a-z])|(?:^|\s)!\s*$|[不没沒无無未否勿]|非(?!常)|ไม่|[❌✗✘✖🚫]|(?<!\w)(?:
    not|no|never|neither|nor|none|without|cannot|nothing|nobody|hardly|scarcely|barely|unlikely|rather\ than
    |instead\ of|other\ than|except|excluding|anything\ but|everything\ but|far\ from|opposite|unlike|zero|devoid
    |fails?\ to|lacks?|non|nein|nope|いいえ|아니요|아니오|whether|if|unless|wrong|incorrect|incorrectly|false
    |mistake|mistaken|unsure|unclear|doubt
    |doubtful|isnt|arent|wasnt|dont|doesnt|didnt|cant|wont|wouldnt|aint|less\ likely
    |nunca|ni|sin|tampoco|ning[uú]n|pas|jamais|aucune?|sans|nicht|kein\w*|mitnichten|kaum
    |nullement|nada\ de|вряд\ ли|nije|nav|bukanlah|degil|ddim|weder|ohne|nie|niemals|né|senza|não
    |nem|sem|niet|geen|noch|inte|ikke|ej|ingen|ani|bez|не|нет|ни|без|ні|není|ne|ei|eivät|δεν|όχι|ούτε|μη
    |ليس|ليست|لا|غير|لم|لن|بدون|לא|אינו|אין|نیست|نه|नहीं|न|không|chẳng|chưa|bukan|tidak|tanpa|nu|안|아닌
    )(?!\w)""",
    re.VERBOSE,
)
_WRONG = (
    r"(?:wrong|incorrect|false|excluded|ruled\s+out|unlikely|impossible|inapplicable|doubtful"
    r"|falsch|ausgeschlossen|faux|falso)"
)
_VERB = re.compile(
    r"\s*(?:is|are|was|were|does|do|did|has|can|could|would|should|will|might|seems?|appears?|looks?|applies"
    r"|ist|sind|war|wäre|kann|trifft|est|sont|es|é|è|jest|är|er|olmayan)(?!\w)"
)
_DENIED_AFTER = re.compile(
    rf"""[*_`"')\]}}>|]*\s*(?:
    (?:does|do|did|is|are|was|were|has|ca|could|would|should|wo)n't
    |cannot(?!\w)|free(?!\w)|değil|yok(?!\w)|ではな|じゃな|でな|で(?:は|も)?あり?ませ|이\s?아|가\s?아|아니|아닙|不是|不对|नहीं|nahi(?!\w)
    |[:=?？]\s*(?:no|n|not|false|none|nein|non|нет|いいえ|아니[요오]|不是?|否|错误?|錯誤?|違|×|0)(?!\w|[.,]\d)|[:=]?\s*[❌✗✘✖🚫]
    |[-–—(,.!]\s*(?:no|not|nope|false|nein|нет|не|{_WRONG})\W*$)""",
    re.VERBOSE,
)
_UNSURE = re.compile(
    r"""(?:(?<!\w)not|n't)\s+(?:\w+\s+)?(?:sure|certain|clear)(?!\w)|(?<!\w)(?:unsure|uncertain|undecided
    |i\ (?:abstain|decline|pass)|no\ opinion)(?!\w)
    |(?<!\w)(?:can(?:no|')t|could(?:\ not|n't)|unable\ to|hard\ to|difficult\ to|impossible\ to|do(?:\ not|n't))
    \ (?:really\ )?(?:say|tell|decide|determine|judge|answer|know|classify)(?:\ (?:this|that|it|(?:the|your)\ \w+))?
    (?=\W*(?:$|[.!;,\n])|\ (?:if|for\ sure|wh\w+)(?!\w))
    """,
    re.VERBOSE,
)
# An empty box before a label, or a line through it
_STRUCK = re.compile(r"(?:\[[ _]?\]|\( \)|[☐□▢○◯⬜]|<(?:del|s|strike)(?:\s[^<>]{0,100})?>|~~)[\s*_`\"']*$")
_SENTENCE = re.compile(r"[.!?](?=\s|$)|[;\n。！？；؟।]|\.\.\.|…")


def _masked(lower: str, mentions: Sequence[_Mention]) -> str:
    """The text with its labels blanked: a "no" or "not good" that is a label denies nothing."""
    characters = list(lower)
    for mention in mentions:
        characters[mention.start : mention.end] = "\0" * (mention.end - mention.start)
    return "".join(characters)


def _denied(lower: str, mention: _Mention) -> bool:
    """Whether the sentence denies the label: before it, or of it."""
    nearby = lower[max(0, mention.start - _LOOK_FAR) : mention.start]
    sentence = _SENTENCE.split(nearby)[-1]
    head, colon, near = sentence.rpartition(":")
    near = near if colon else sentence
    if _DENIALS.search(near) is not None:
        return True
    if _UNSURE.search(nearby) is not None or _STRUCK.search(nearby) is not None:
        return True
    before = (head if colon and not near.strip() else nearby).rstrip(" \n:*_`\"'([{<-")
    if re.search(r"[.!?;。！？；]$", before) is None and _ends_in_denial(before):
        return True
    after = lower[mention.end : mention.end + _LOOK_FAR]
    clause = re.split(r"[,;\n。，；]|[.!?](?=\s|$)", after, maxsplit=1)[0]
    if _DENIED_AFTER.match(after.partition("\n")[0]) is not None:
        return True
    if _UNSURE.search(_SENTENCE.split(after.lstrip(".)]*_: "), maxsplit=1)[0]) is not None:
        return True
    said = clause.lstrip("*_`\"')]}> ")
    return _VERB.match(said) is not None and (
        _DENIALS.search(said) is not None or re.search(rf"(?<!\w){_WRONG}(?!\w)", said) is not None
    )


def _is_given(lower: str, mention: _Mention, labels: _Labels) -> bool:
    """Whether the label stands in a form in which answers are given."""
    before = lower[max(0, mention.start - _LOOK_FAR) : mention.start]
    after = lower[mention.end : mention.end + _LOOK_FAR]
    form = labels.forms[mention.labels[0]]
    denies = _DENIALS.search(_lower(form, False)) is not None
    return affirmed(before, after, None if denies else _DENIALS, is_mark=_is_mark(form))


def _ends_in_denial(before: str) -> bool:
    last = before[-_LOOK:]
    return any(match.end() == len(last) for match in _DENIALS.finditer(last))


def _sentence_end(lower: str, at: int) -> str:
    """The mark that closes the sentence."""
    match = re.search(r"[.!]*\?(?=[\s\"'*)\]!.]|$)|[.!](?=[\s\"'*)\]]|$)|[;\n。！？；؟।]", lower[at : at + _LOOK_FAR])
    return "" if match is None else match[0][-1]


# Letters for places


_LETTERED = re.compile(
    r"(?:(?:the\s+)?(?:correct\s+|right\s+|best\s+|final\s+)?(?:answer|option|choice)\s*+(?:is|:)?:?\s*+)?"
    r"(?:\(([A-Za-z])\)|([A-Za-z])\))(?!\w)\s*+[.:]?\s*+",
    re.IGNORECASE,
)


def _with_letter(text: str, read: ReadLabel, labels: _Labels) -> ReadLabel:
    """The reading, where letters stand for the places of the choices: "(b)", "b) a library"."""
    letters = {c for c in re.findall(r"(?<!\w)\(([a-z])\)", text.lower()) if _place(c) < len(labels.order)}
    if len(letters) > 1:
        # "either (d) doctor's office or (e) vet's office" names two, even where one is not spelled like its label.
        return ReadLabel(None, error=SEVERAL)
    lettered = _LETTERED.match(text)
    if read.label is not None and labels.by_letter is not None:
        if lettered is not None and (lettered[1] or lettered[2]).lower() not in {*labels.by_letter, *"ivx"}:
            return ReadLabel(None, error=CONTRADICTED)  # "d) Paris", where there are three choices
        for mark in _marks_beside(text, labels):
            if _of_mark(mark, labels) not in (None, read.label):
                return ReadLabel(None, error=CONTRADICTED)  # "Rome (a)" and "2. Paris", where Paris is the first choice
    if lettered is None or labels.by_letter is None:
        return read
    by_letter = labels.by_letter.get((lettered[1] or lettered[2]).lower())
    if by_letter is None:
        return read
    if read.label is not None:
        return read if read.label == by_letter else ReadLabel(None, error=CONTRADICTED)
    rest = text[lettered.end() :].strip(" \n*_`\"'.!")
    return ReadLabel(by_letter, "lenient") if not rest and read.error == NO_LABEL else read


_A_MARK = r"(?P<mark>[a-z]|\d{1,2}|[ivx]{2,5})"
_MARK_BEFORE = re.compile(
    rf"(?<![\w'.-])[(\[]?{_A_MARK}(?:[)\].:、]+\s*|,\s+|\s+[-–—]\s+)[\s*_`\"'(\[]*$", re.IGNORECASE
)
_MARK_AFTER = re.compile(
    rf"[*_`\"'.\s]*[-–—,(\[]\s*(?:option|choice|answer|letter|number)?\s*[(\[]?{_A_MARK}[)\]]*\W*$", re.IGNORECASE
)


def _marks_beside(text: str, labels: _Labels) -> list[str]:
    """The letters and numbers right before and behind the labels in a reply, and all letters in brackets."""
    marks = re.findall(r"(?<!\w)\(([a-z])\)", text.lower())
    for mention in _mentions(text, labels):
        before = _MARK_BEFORE.search(text[max(0, mention.start - _LOOK) : mention.start])
        after = _MARK_AFTER.match(text[mention.end : mention.end + _LOOK].partition("\n")[0])
        marks += [match["mark"].lower() for match in (before, after) if match is not None]
    return marks


def _of_mark(mark: str, labels: _Labels) -> str | None:
    """The choice that a letter or a number marks; None: none, as 1 before a label is a list of one."""
    if len(mark) == 1 and mark.isalpha():
        return None if labels.by_letter is None else labels.by_letter.get(mark)
    place = int(mark) if mark.isdecimal() else _NUMERALS.get(mark, 0)
    return labels.order[place - 1] if 1 < place <= len(labels.order) else None


_NUMERALS = {"ii": 2, "iii": 3, "iv": 4, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "xi": 11, "xii": 12}


def _place(letter: str) -> int:
    """The place that a letter stands for, from 0."""
    return ord(letter) - ord("a")


def _by_parts(answer: str, parts: Sequence[tuple[str, str, str]]) -> ReadLabel:
    """Where labels are like "A) Paris": by the mark or by the text, which must agree."""
    by_mark = _read(answer, _labels(tuple(mark for _, mark, _ in parts)), places=False)
    by_text = _read(answer, _labels(tuple(text for _, _, text in parts)), places=False)
    named = {label for label, mark, text in parts if by_mark.label == mark or by_text.label == text}
    for read in (by_mark, by_text):
        if read.label is None and read.error not in (NO_LABEL, UNCERTAIN):
            return read
    if len(named) > 1:
        return ReadLabel(None, error=CONTRADICTED)
    return ReadLabel(named.pop(), "lenient") if named else ReadLabel(None, error=NO_LABEL)
