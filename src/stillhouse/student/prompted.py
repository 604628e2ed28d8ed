"""The prompted student: a base finetuned through its own language-model head (Schick & Schütze 2021, 2001.07676; Le Scao & Rush 2021, 2103.08493).

A pattern turns the input into a text with a gap, a verbalizer names a word for each label, and the label is the one whose word the head finds likeliest in
the gap. Nothing is added to the base, where `encoder:BASE` adds a head that knows nothing yet: the distance of the two learning curves is what the pattern
is worth. A masked-LM base fills the gap anywhere; a decoder-only one reads left to right, so there the gap ends the pattern.

A word of several tokens counts with the mean of its tokens' logits in the one gap.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from stillhouse.errors import UserError
from stillhouse.records import Example
from stillhouse.runs import storage_errors
from stillhouse.student import bases
from stillhouse.student.artifact import Header
from stillhouse.student.encoder import SECOND, TINY, EncoderStudent, Row, Rows, defaults, fit_rows, word_tokenizer
from stillhouse.student.job import Trained, TrainJob
from stillhouse.student.train import device, seeded

PATTERN = "{input}\n{instruction} {mask}"  # the app's own prompt, its answer in the gap
_NAME = re.compile(r"\{(\w+)\}")


class Filler(nn.Module):
    """A language model that is asked for one place of each sequence, and for the labels' words alone. `words`: token numbers, a list per label."""

    def __init__(self, model: Any, words: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model, self._words = model, [list(word) for word in words]
        self._gap: Tensor | None = None
        # The last layer makes a logit per word of the vocabulary: at the gap alone, instead of at every token, that costs next to nothing.
        model.get_output_embeddings().register_forward_pre_hook(lambda _, states: self._at_the_gap(states[0]))

    def _at_the_gap(self, states: Tensor) -> tuple[Tensor]:
        assert self._gap is not None
        return (states[torch.arange(len(states), device=states.device), self._gap].unsqueeze(1),)

    def forward(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """(sequences, labels). `second_from` (sequences,) is where each sequence's gap is: of a decoder-only base, the token before it."""
        self._gap = encoded[SECOND]
        logits = self.model(**{name: tensor for name, tensor in encoded.items() if name != SECOND}).logits[
            :, 0
        ]  # (sequences, vocabulary)
        return torch.stack([logits[:, word].mean(dim=-1) for word in self._words], dim=-1)


# Text with a gap


@dataclass(frozen=True)
class Pattern:
    """A pattern as a base reads it. `masked`: the base fills a mask token; else it continues the text, and the gap is the pattern's end."""

    text: str
    instruction: str
    tokenizer: Any
    max_length: int
    masked: bool

    def words(self, by_label: Mapping[str, str]) -> dict[str, list[int]]:
        """The token numbers of each label's word, as they stand in the gap. Raises UserError for a word the base cannot tell from another."""
        before = self.text.partition("{mask}")[0]
        found = {label: self._in_gap(" " if before.endswith(" ") else "", word) for label, word in by_label.items()}
        for label, tokens in found.items():
            if not tokens or self.tokenizer.unk_token_id in tokens:
                raise UserError(
                    f"the base has no token for {by_label[label]!r}, the word of the label {label!r}; name another in [student.verbalizer]"
                )
        same = [(a, b) for a in found for b in found if a < b and sorted(found[a]) == sorted(found[b])]
        if same:
            first, second = same[0]
            raise UserError(
                f"the labels {first!r} and {second!r} have the same word to this base; name other words in [student.verbalizer]"
            )
        return found

    def _in_gap(self, space: str, word: str) -> list[int]:
        """What the word adds to a text: some tokenizers write a word's first token otherwise at the beginning of a text."""
        plain, longer = (
            list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("a:", f"a:{space}{word}")
        )
        return (
            longer[len(plain) :]
            if longer[: len(plain)] == plain
            else list(self.tokenizer(word, add_special_tokens=False)["input_ids"])
        )

    def encode(self, examples: Sequence[Example]) -> list[Row]:
        """Every row's tokens. Of an input that is too long its fields lose their ends, the longest first: the pattern is always whole."""
        return [self._row(example) for example in examples]

    def _row(self, example: Example) -> Row:
        values = self._values(example)
        encoded, truncated = self._encoded(values), False
        while len(encoded["input_ids"]) > self.max_length:
            name = max(values, key=lambda name: len(values[name]))
            if not values[name]:
                raise UserError(
                    f"[student] pattern = {self.text!r}: its own words are more than the {self.max_length} tokens that the base reads; shorten it"
                )
            share = self.max_length / len(encoded["input_ids"])
            values[name] = values[name][: min(len(values[name]) - 1, int(len(values[name]) * share))]
            encoded, truncated = self._encoded(values), True
        ids = encoded["input_ids"]
        gap = ids.index(self.tokenizer.mask_token_id) if self.masked else len(ids) - 1
        return Row((encoded,), (gap,), truncated)

    def _values(self, example: Example) -> dict[str, str]:
        """What the pattern's names stand for; a mask token in a row's own text is no gap."""
        own = dict(zip(example.input, example.fields, strict=True)) if isinstance(example.input, Mapping) else {}
        known = {"input": example.text, **own}
        wanted = [name for name in _NAME.findall(self.text) if name not in ("mask", "instruction")]
        if unknown := [name for name in wanted if name not in known]:
            raise UserError(
                f"[student] pattern = {self.text!r}: row {example.id} has no field {unknown[0]!r}; it has {', '.join(known)}"
            )
        return {
            name: known[name].replace(self.tokenizer.mask_token, " ") if self.masked else known[name] for name in wanted
        }

    def _encoded(self, values: Mapping[str, str]) -> dict[str, list[int]]:
        gap = self.tokenizer.mask_token if self.masked else ""
        text = _NAME.sub(lambda found: {"mask": gap, "instruction": self.instruction, **values}[found[1]], self.text)
        encoded = dict(self.tokenizer(text if self.masked else text.rstrip(" ")))
        if (
            not self.masked and encoded["input_ids"][-1] == self.tokenizer.eos_token_id
        ):  # some tokenizers end every text; the answer is still to come
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
    asked = job.task.student.verbalizer
    if asked == "null":
        return _null_words(job.labels, tokenizer, job.seed)
    if asked is None:
        return {label: label.replace("_", " ") for label in job.labels}
    if odd := set(asked) ^ set(job.labels):
        wanted = ", ".join(job.labels)
        raise UserError(
            f"[student.verbalizer] must have a word for each label and no other: {', '.join(sorted(odd))} does not fit; the labels are {wanted}"
        )
    return {label: asked[label] for label in job.labels}


def _null_words(labels: Sequence[str], tokenizer: Any, seed: int) -> dict[str, str]:
    """Words that mean nothing here: whole words of the base's vocabulary, drawn by the seed. What they reach is the head's worth without its meaning."""
    meant = {part.casefold() for label in labels for part in re.findall(r"\w+", label)}
    pieces = [tokenizer.decode([number]).strip() for number in range(len(tokenizer))]
    words = sorted(
        {
            piece
            for piece in pieces
            if piece.isalpha() and piece.isascii() and len(piece) > 2 and piece.casefold() not in meant
        }
    )
    draw = torch.randperm(len(words), generator=torch.Generator().manual_seed(seed)).tolist()
    whole = (
        words[number]
        for number in draw
        if len(tokenizer(f" {words[number]}", add_special_tokens=False)["input_ids"]) == 1
    )
    found = dict(zip(labels, whole, strict=False))
    if len(found) < len(labels):
        raise UserError(
            f"the base's vocabulary has {len(found)} whole words that mean nothing here, and {len(labels)} are needed; use another base"
        )
    return found


# Training


def train(job: TrainJob) -> Trained:
    """Finetune all weights of the base, with the settings of `encoder:BASE`. Raises UserError for a base without a trained language-model head."""
    if job.labels is None:
        raise UserError(
            f"{job.spec} names a word for each label, and the rows of {job.task.name} bring their own choices; use encoder:{job.base}"
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
    rows = Rows(job, module, tokenizer, pattern.encode, config.label_smoothing)
    settings = {
        "pattern": pattern.text,
        "instruction": pattern.instruction,
        "max_length": pattern.max_length,
        "masked": masked,
        "words": words,
    }
    return fit_rows(
        job, rows, config, lambda folder: _write(folder, model, tokenizer), {**settings, "verbalizer": verbalizer}
    )


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
    if loaded[
        "missing_keys"
    ]:  # they would be drawn at random, and what is compared is a head that has learned against one that has not
        raise UserError(_no_head(base, f"its files lack {sorted(loaded['missing_keys'])[0]}"))
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
    """Two small layers and a vocabulary of the task's own words: for tests and toys, it knows nothing of the language."""
    assert job.labels is not None
    asked = job.task.student
    words = asked.verbalizer.values() if isinstance(asked.verbalizer, dict) else job.labels
    texts = [
        *words,
        job.task.instruction,
        _NAME.sub(" ", asked.pattern or PATTERN),
        *(text for row in job.train for text in (row.text, *row.fields)),
    ]
    tokenizer = word_tokenizer(texts, mask_token="[MASK]")
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128, max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return transformers.BertForMaskedLM(config), tokenizer, True


# Predicting, and on disk


class PromptedStudent(EncoderStudent):
    """Answers as the encoder student does: confidence is the calibrated probability among the labels' words."""

    family = "prompted"

    def __init__(self, header: Header, folder: Path, module: Filler, pattern: Pattern) -> None:
        super().__init__(header, folder, module, pattern.tokenizer)
        self._pattern = pattern

    def _encode(self, examples: Sequence[Example]) -> list[Row]:
        return self._pattern.encode(examples)


def _write(folder: Path, model: Any, tokenizer: Any) -> None:
    with storage_errors(folder), bases.quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def load(folder: Path, header: Header) -> PromptedStudent:
    settings = header.settings
    masked = bool(settings["masked"])
    auto_class = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    model = bases.load_weights(auto_class, str(folder))
    pattern = _pattern(
        settings["pattern"],
        settings["instruction"],
        model,
        bases.load_tokenizer(str(folder)),
        int(settings["max_length"]),
        masked=masked,
    )
    module = Filler(model, [settings["words"][label] for label in header.labels or ()])
    module.to(device()).eval()
    return PromptedStudent(header, folder, module, pattern)
