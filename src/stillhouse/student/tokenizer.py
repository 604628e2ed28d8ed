"""A byte-level BPE vocabulary from the task's own text, for students that begin from random weights.

Byte-pair encoding is from Sennrich et al. 2016 (1508.07909).

How its text is cut decides whether a small model learns a task from a few thousand rows:
- Answers are cut at figures and quotation marks alone. What always comes together ("SELECT COUNT(*) FROM orders WHERE
  status = ") then becomes one token, as in SuperBPE (2503.13423). On the demo's queries an answer is 6 tokens long,
  where BPE within words makes 17. That is a third of the work, with fewer places to err.
- Questions are cut into words and signs, and so is what stands in an answer's quotation marks. A new question is still
  made of known words, and a value has the same tokens in the question and in the answer.
- A capital is a mark of its own before the word. "irene", "Irene" and a word that begins a sentence are one token.
- A figure is a token of its digit and its place in the number. "200" then holds no token twice, and a token of it says
  which one comes next.

The text can be had back from its tokens, except for the spacing of questions. Tokens are made of bytes, so no character
is unknown.
"""

import re
from collections.abc import Iterable
from typing import Any

import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, END = "<pad>", "</s>"
_SPACE = "\u2423"  # the sign for a space in an answer; plain spaces part tokens and are dropped
_CAPITAL = "\u21e7"  # the sign before a word that begins with a capital
_PLACES = 8  # the ninth digit of a number has the first place's figures again
_FIGURES = [chr(0xE000 + number) for number in range(10 * _PLACES)]  # ten private-use characters per place
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
    """The text of an answer's tokens. The first few tokens give the first part of the text."""
    decoded = re.sub(f"{_CAPITAL}+(.?)", lambda marked: marked[1].upper(), decoded)
    decoded = _FIGURE.sub(lambda figure: str(_FIGURES.index(figure[0]) % 10), decoded)
    return decoded.replace(_SPACE, " ")


def _cut(value: str) -> str:
    return re.sub(f"([{_SPACE}{_CAPITAL}])", r" \1 ", _with_capitals(value))


def _with_places(text: str) -> str:
    """Every digit as the figure of its value and place."""

    def figures(number: re.Match[str]) -> str:
        return "".join(_FIGURES[place % _PLACES * 10 + int(digit)] for place, digit in enumerate(number[0]))

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
