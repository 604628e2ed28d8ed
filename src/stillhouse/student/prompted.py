"""The prompted student: a base finetuned through its own language-model head.

Schick & Schütze 2021 (2001.07676), Le Scao & Rush 2021 (2103.08493).

A pattern turns the input into a text with a gap. A verbalizer names a word for each label. The answer is the label
whose word the head finds likeliest in the gap. A word of several tokens has the mean of their logits there.

`encoder:BASE` adds a head that knows nothing yet; here nothing is added to the base. How far apart the two learning
curves are is what the pattern is worth.

A masked-LM base fills a gap anywhere. A decoder-only one reads left to right, so there the gap is the pattern's end.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from stillhouse.errors import ArtifactError, UserError
from stillhouse.records import Example
from stillhouse.student import bases
from stillhouse.student.artifact import Header
from stillhouse.student.encoder import (
    SECOND,
    TINY,
    EncoderStudent,
    TokenisedRow,
    TrainableRows,
    defaults,
    fit_rows,
    tiny_bert,
    tried,
    word_tokenizer,
)
from stillhouse.student.header import AGAIN, HEADER
from stillhouse.student.job import Trained, TrainJob
from stillhouse.student.opening import TELLING_WHAT_FITS, check_config, check_loaded, check_model
from stillhouse.student.train import device, seeded

PATTERN = "{input}\n{instruction} {mask}"  # the default pattern: the app's own prompt, with the answer in the gap
_NAME = re.compile(r"\{(\w+)\}")


class Filler(nn.Module):
    """A language model that scores the labels' words in the gap of each sequence.

    `words` are token numbers, a list per label.
    """

    def __init__(self, model: Any, words: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model, self._words = model, [list(word) for word in words]
        self._gap: Tensor | None = None
        # The last layer makes a logit for every word of the vocabulary. At the gap alone, that costs next to nothing.
        model.get_output_embeddings().register_forward_pre_hook(lambda _, states: self._at_the_gap(states[0]))

    def _at_the_gap(self, states: Tensor) -> tuple[Tensor]:
        assert self._gap is not None
        return (states[torch.arange(len(states), device=states.device), self._gap].unsqueeze(1),)

    def forward(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """(sequences, labels). `second_from` (sequences,): each gap's place, or the one before it at the text's end."""
        self._gap = encoded[SECOND]
        model_inputs = {name: tensor for name, tensor in encoded.items() if name != SECOND}
        logits = self.model(**model_inputs).logits[:, 0]  # (sequences, vocabulary)
        return torch.stack([logits[:, word].mean(dim=-1) for word in self._words], dim=-1)


# Text with a gap


@dataclass(frozen=True)
class Pattern:
    """A pattern as a base reads it.

    `masked`: the base fills in a mask token. Else it continues the text, and the gap is the pattern's end.
    """

    text: str
    instruction: str
    tokenizer: Any
    max_length: int
    masked: bool

    def words(self, by_label: Mapping[str, str]) -> dict[str, list[int]]:
        """The token numbers of each label's word, as they stand in the gap.

        Raises UserError for a word that the base does not know, or cannot tell from another.
        """
        space = " " if self.text.partition("{mask}")[0].endswith(" ") else ""
        tokens = {label: self._in_gap(space, word) for label, word in by_label.items()}
        for label, numbers in tokens.items():
            if not numbers or self.tokenizer.unk_token_id in numbers:
                raise UserError(
                    f"the base has no token for {by_label[label]!r}, the word of the label {label!r}; "
                    "name another in [student.verbalizer]"
                )
        for first, second in itertools.product(tokens, repeat=2):
            if first < second and sorted(tokens[first]) == sorted(tokens[second]):
                raise UserError(
                    f"the labels {first!r} and {second!r} have the same word to this base; "
                    "name other words in [student.verbalizer]"
                )
        return tokens

    def _in_gap(self, space: str, word: str) -> list[int]:
        """The word's tokens within a text. At a text's beginning some tokenizers would cut the word differently."""
        before, with_word = self._tokens("a:"), self._tokens(f"a:{space}{word}")
        goes_on = with_word[: len(before)] == before
        return with_word[len(before) :] if goes_on else self._tokens(word)

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def encode(self, examples: Sequence[Example]) -> list[TokenisedRow]:
        """Every row's tokens. Where they are too many, the longest field is cut at its end; the pattern stays whole."""
        return [self._row(example) for example in examples]

    def _row(self, example: Example) -> TokenisedRow:
        values = self._values(example)
        encoded, truncated = self._encoded(values), False
        while len(encoded["input_ids"]) > self.max_length:
            longest = max(values, key=lambda name: len(values[name]))
            length = len(values[longest])
            if not length:
                raise UserError(
                    f"[student] pattern = {self.text!r}: its own words are more than the {self.max_length} tokens "
                    "that the base reads; shorten it"
                )
            share = self.max_length / len(encoded["input_ids"])
            values[longest] = values[longest][: min(length - 1, int(length * share))]
            encoded, truncated = self._encoded(values), True
        ids = encoded["input_ids"]
        gap = ids.index(self.tokenizer.mask_token_id) if self.masked else len(ids) - 1
        return TokenisedRow((encoded,), (gap,), truncated)

    def _values(self, example: Example) -> dict[str, str]:
        """What the pattern's names stand for in this row."""
        own = dict(zip(example.input, example.fields, strict=True)) if isinstance(example.input, Mapping) else {}
        known = {"input": example.text, **own}
        wanted = [name for name in _NAME.findall(self.text) if name not in ("mask", "instruction")]
        if unknown := [name for name in wanted if name not in known]:
            raise UserError(
                f"[student] pattern = {self.text!r}: row {example.id} has no field {unknown[0]!r}; "
                f"it has {', '.join(known)}"
            )
        values = {name: known[name] for name in wanted}
        if self.masked:  # a mask token in the row's own text must not be taken for the gap
            values = {name: value.replace(self.tokenizer.mask_token, " ") for name, value in values.items()}
        return values

    def _encoded(self, values: Mapping[str, str]) -> dict[str, list[int]]:
        gap = self.tokenizer.mask_token if self.masked else ""
        by_name = {"mask": gap, "instruction": self.instruction, **values}
        text = _NAME.sub(lambda name: by_name[name[1]], self.text)
        if self.masked:
            return dict(self.tokenizer(text))
        encoded = dict(self.tokenizer(text.rstrip(" ")))
        # Some tokenizers end every text with an end token, but this text goes on.
        if encoded["input_ids"][-1] == self.tokenizer.eos_token_id:
            encoded = {name: tokens[:-1] for name, tokens in encoded.items()}
        return encoded


def _checked(text: str, *, masked: bool) -> str:
    if _NAME.findall(text).count("mask") != 1:
        raise UserError(f"[student] pattern = {text!r}: needs {{mask}} once, where the answer's word stands")
    if not masked and not text.endswith("{mask}"):
        raise UserError(
            f"[student] pattern = {text!r}: a decoder-only base reads left to right, so {{mask}} must come last"
        )
    if not set(_NAME.findall(text)) - {"mask", "instruction"}:
        raise UserError(
            f"[student] pattern = {text!r}: shows nothing of the row; put {{input}} or a field's name in it"
        )
    return text


def _verbalizer(job: TrainJob, tokenizer: Any) -> dict[str, str]:
    """The word of each label: as [student.verbalizer] says, else the label itself."""
    assert job.labels is not None
    verbalizer = job.task.student.verbalizer
    if verbalizer == "null":
        return _null_words(job.labels, tokenizer, job.seed)
    if verbalizer is None:
        return {label: label.replace("_", " ") for label in job.labels}
    if odd := set(verbalizer) ^ set(job.labels):
        raise UserError(
            "[student.verbalizer] must have a word for each label and no other: "
            f"{', '.join(sorted(odd))} does not fit; the labels are {', '.join(job.labels)}"
        )
    return {label: verbalizer[label] for label in job.labels}


def _null_words(labels: Sequence[str], tokenizer: Any, seed: int) -> dict[str, str]:
    """Words that have nothing to do with the labels: whole words of the base's vocabulary, drawn by the seed.

    With them the student has the base's head and none of its knowledge of the labels' words.
    """
    in_labels = {part.casefold() for label in labels for part in re.findall(r"\w+", label)}

    def means_nothing(piece: str) -> bool:
        return piece.isalpha() and piece.isascii() and len(piece) > 2 and piece.casefold() not in in_labels

    def is_one_token(word: str) -> bool:
        return len(tokenizer(f" {word}", add_special_tokens=False)["input_ids"]) == 1

    pieces = {tokenizer.decode([number]).strip() for number in range(len(tokenizer))}
    words = sorted(filter(means_nothing, pieces))
    draw = torch.randperm(len(words), generator=torch.Generator().manual_seed(seed)).tolist()
    drawn = filter(is_one_token, (words[number] for number in draw))
    by_label = dict(zip(labels, drawn, strict=False))
    if len(by_label) < len(labels):
        raise UserError(
            f"the base's vocabulary has {len(by_label)} whole words that mean nothing here, and {len(labels)} are "
            "needed; use another base"
        )
    return by_label


# Training


def train(job: TrainJob) -> Trained:
    """Finetune all weights of the base, with the settings of `encoder:BASE`.

    Raises UserError for a base without a trained language-model head.
    """
    if job.labels is None:
        raise UserError(
            f"{job.spec} names a word for each label, and the rows of {job.task.name} bring their own choices; "
            f"use encoder:{job.base}"
        )
    config = job.settings(defaults(job.base))
    with seeded(job.seed):
        model, tokenizer, masked = _scratch(job) if job.base == TINY else _pretrained(job.base)
    pattern = _pattern(
        job.task.student.pattern or PATTERN, job.task.instruction, model, tokenizer, config.max_length, masked=masked
    )
    verbalizer = _verbalizer(job, tokenizer)
    words = pattern.words(verbalizer)
    module = Filler(model, list(words.values()))
    rows = TrainableRows(job, module, tokenizer, pattern.encode, config.label_smoothing)
    settings = {
        "pattern": pattern.text,
        "instruction": pattern.instruction,
        "max_length": pattern.max_length,
        "masked": masked,
        "words": words,
        "verbalizer": verbalizer,
    }
    return fit_rows(job, rows, config, lambda folder: bases.save(folder, model, tokenizer), settings)


def _pattern(text: str, instruction: str, model: Any, tokenizer: Any, max_length: int, *, masked: bool) -> Pattern:
    positions = getattr(model.config, "max_position_embeddings", None) or max_length
    return Pattern(
        _checked(text, masked=masked),
        instruction.strip(),
        tokenizer,
        min(max_length, positions, tokenizer.model_max_length),
        masked,
    )


def _pretrained(base: str) -> tuple[Any, Any, bool]:
    source = bases.resolve(base)
    config = bases.from_pretrained(transformers.AutoConfig, source)
    masked = _is_masked(config, base)
    auto_class = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    model, loaded = bases.load_weights(auto_class, source, output_loading_info=True)
    missing = sorted(loaded["missing_keys"])
    # Missing weights would be drawn at random, and a prompted student is about a head that has learned already.
    if missing:
        raise UserError(_no_head(base, f"its files lack {missing[0]}"))
    tokenizer = bases.load_tokenizer(source)
    if masked and tokenizer.mask_token_id is None:
        raise UserError(_no_head(base, "its tokenizer has no mask token"))
    return model, tokenizer, masked


def _is_masked(config: Any, base: str) -> bool:
    names = config.architectures or []
    if not config.is_encoder_decoder:
        if any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in names):
            return True
        if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names):
            return False
    raise UserError(_no_head(base, f"its weights are those of {' and '.join(names) or 'an unnamed architecture'}"))


def _no_head(base: str, why: str) -> str:
    remedy = f"take a masked-LM or decoder-only base that was saved with its head, or use encoder:{base}"
    return f"prompted:{base} needs the base's trained language-model head, and there is none ({why}); {remedy}"


def _scratch(job: TrainJob) -> tuple[Any, Any, bool]:
    """Two small layers with random weights, and a vocabulary of the task's own words. For tests and toys."""
    assert job.labels is not None
    settings = job.task.student
    words = settings.verbalizer.values() if isinstance(settings.verbalizer, dict) else job.labels
    pattern = _NAME.sub(" ", settings.pattern or PATTERN)
    of_rows = [text for row in job.train for text in (row.text, *row.fields)]
    tokenizer = word_tokenizer([*words, job.task.instruction, pattern, *of_rows], mask_token="[MASK]")
    return transformers.BertForMaskedLM(tiny_bert(tokenizer)), tokenizer, True


# Predicting, and on disk


class PromptedStudent(EncoderStudent):
    """Answers as the encoder student does: confidence is the calibrated probability among the labels' words."""

    family = "prompted"

    def __init__(self, header: Header, folder: Path, module: Filler, pattern: Pattern) -> None:
        super().__init__(header, folder, module, pattern.tokenizer)
        self._pattern = pattern

    def _encode(self, examples: Sequence[Example], tokenizer: Any) -> list[TokenisedRow]:
        return replace(self._pattern, tokenizer=tokenizer).encode(examples)


def load(folder: Path, header: Header) -> PromptedStudent:
    settings = header.settings
    masked = bool(settings["masked"])
    auto_class = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    check_config(folder)
    model, loaded = bases.load_weights(auto_class, str(folder), **TELLING_WHAT_FITS)
    check_loaded(folder, loaded)
    tokenizer = bases.load_tokenizer(str(folder))
    check_model(folder, model, tokenizer)
    n_words = model.get_output_embeddings().weight.shape[0]
    if (most := max(number for word in settings["words"].values() for number in word)) >= n_words:
        raise ArtifactError(f"{folder / HEADER}: settings.words has {most}, and the weights know {n_words}; {AGAIN}")
    pattern = _pattern(
        settings["pattern"],
        settings["instruction"],
        model,
        tokenizer,
        int(settings["max_length"]),
        masked=masked,
    )
    module = Filler(model, [settings["words"][label] for label in header.labels or ()])
    module.to(device()).eval()
    student = PromptedStudent(header, folder, module, pattern)
    tried(student, folder)
    return student
