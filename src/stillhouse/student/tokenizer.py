"""A byte-level BPE vocabulary from the task's own text, for students that begin from random weights (Sennrich et al. 2016, 1508.07909).

What makes a small model learn a task from a few thousand rows is how its text is cut:
- Answers are cut at figures and quotation marks only, so that what always comes together ("SELECT COUNT(*) FROM orders WHERE status = ") becomes one token
  (as in SuperBPE, 2503.13423). On the demo's queries an answer is 6 tokens long where word-bound BPE makes 17: a third of the work, and fewer places to err.
- Questions, and what stands inside an answer's quotation marks, are cut into words and signs: a new wording is still made of known words, and a value is
  the same tokens where it is asked for and where it is written.
- A capital is a mark of its own before the word, so "irene", "Irene" and a word that begins a sentence are one token.
- A figure is a token of its digit and its place in the number: "200" holds no token twice, so what comes next in a number is never in doubt.
Nothing is lost by it but the spacing of questions; bytes, so that no character is unknown.
"""

import re
from collections.abc import Iterable
from typing import Any

import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, END = "<pad>", "</s>"
_SPACE = "\u2423"  # an answer's space: spaces that stay spaces separate tokens and are dropped
_CAPITAL = "\u21e7"
_PLACES = 8  # from the ninth on they begin anew
_FIGURES = [chr(0xE000 + number) for number in range(10 * _PLACES)]  # private-use characters, place by place
_FIGURE = re.compile(f"[{_FIGURES[0]}-{_FIGURES[-1]}]")
_QUOTED = re.compile(r"""('[^'\n]*'|"[^"\n]*")""")


def as_question(text: str) -> str:
    """Words, figures and signs, each apart."""
    return " ".join(re.findall(r"\w+|[^\w\s]", _with_capitals(_with_places(text))))


def as_answer(text: str) -> str:
    """Quoted values cut as a question is, spaces kept; the rest in one piece."""
    spaced = _with_places(text).replace(" ", _SPACE)
    return "".join(_cut(part) if at % 2 else part for at, part in enumerate(_QUOTED.split(spaced)))


def from_answer(decoded: str) -> str:
    """The text of an answer's tokens, or of its first few: every beginning of the tokens gives a beginning of the text."""
    decoded = re.sub(f"{_CAPITAL}+(.?)", lambda marked: marked[1].upper(), decoded)
    decoded = _FIGURE.sub(lambda figure: str(_FIGURES.index(figure[0]) % 10), decoded)
    return decoded.replace(_SPACE, " ")


def _cut(value: str) -> str:
    return re.sub(f"([{_SPACE}{_CAPITAL}])", r" \1 ", _with_capitals(value))


def _with_places(text: str) -> str:
    return re.sub(
        "[0-9]+",
        lambda number: "".join(_FIGURES[place % _PLACES * 10 + int(digit)] for place, digit in enumerate(number[0])),
        text,
    )


def _with_capitals(text: str) -> str:
    return re.sub(r"[^\W\d_]+", lambda word: _CAPITAL + word[0].lower() if _is_capitalised(word[0]) else word[0], text)


def _is_capitalised(word: str) -> bool:
    """Whether the mark and the word in lower case give it back."""
    lowered = word.lower()
    return word != lowered and lowered[0].upper() + lowered[1:] == word


def train_bpe(questions: Iterable[str], answers: Iterable[str], vocabulary: int) -> Any:
    """A fast tokenizer with at most `vocabulary` tokens and the figures. Equal texts give equal tokenizers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(" ", "removed"),
            pre_tokenizers.Split(Regex(r"[\"'\n]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[PAD, END],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    texts = [*map(as_question, questions), *map(as_answer, answers)]
    tokenizer.train_from_iterator([_FIGURE.sub(" ", text) for text in texts], trainer)
    tokenizer.add_tokens(_FIGURES)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )
