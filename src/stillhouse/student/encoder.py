"""The encoder student: a pretrained encoder, mean pooling per segment, one linear head, all of it finetuned.

Fixed labels get one logit each. With choices per row, every (input, choice) pair is encoded and gets one score, and a
softmax over the row's choices decides.

Encoders are pretrained on pairs of segments. The first field of an input is the first segment, the other fields are the
second. With choices per row the whole input is the first segment, and the choice is the second.

The artifact's body loads with plain `transformers.AutoModel`. The head lies beside it in `head.safetensors`.
"""

import asyncio
import contextlib
import copy
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from stillhouse.records import Example, Prediction, Usage
from stillhouse.student import bases, objectives
from stillhouse.student.artifact import Header, size_bytes
from stillhouse.student.calibration import Logits, fit_temperature, ragged, softmax
from stillhouse.student.checkpoint import save_tensors
from stillhouse.student.config import TrainConfig
from stillhouse.student.job import Trained, TrainJob, choice_predictions, no_choices
from stillhouse.student.opening import (
    TELLING_WHAT_FITS,
    check_answer,
    check_config,
    check_loaded,
    check_model,
    check_tensors,
    check_weights,
    probe,
    tensor_shapes,
)
from stillhouse.student.train import as_trained, autocast, bf16_pays, device, fit, seeded
from stillhouse.student.turns import SHORT_TEXT, Turns

HEAD = "head.safetensors"
SECOND = "second_from"  # key of a batch that holds where each sequence's second segment begins
TINY = "scratch:tiny"
# Most tokens in one forward pass without gradients, padding included. On a CPU a pass of MiniLM then takes some 40 ms,
# and 400 rows are as quick as in passes of 1024, quicker than in passes of 4096, which have more padding.
TOKENS_AT_ONCE, TOKENS_AT_ONCE_ON_GPU = 512, 4096
CHARACTERS_AT_ONCE = 20_000  # of the rows that are tokenised in one go


def defaults(base: str) -> TrainConfig:
    """The settings for a base; those for a pretrained one are measured on e-SNLI with MiniLM."""
    if base == TINY:
        return TrainConfig(epochs=10, min_steps=200, learning_rate=3e-3)
    return TrainConfig(bf16=bf16_pays())


class Classifier(nn.Module):
    """Encoder body, mean over the tokens, dropout, linear head.

    Of two segments the head sees the means a and b, |a - b| and a * b (Conneau et al. 2017, 1705.02364, section 3.1).
    An encoder that was trained to compare sentences keeps much of what it knows in these. On e-SNLI with MiniLM (seed
    0, 1,000 test rows) they give 65.8 % at 500 training rows, where one mean over both segments gives 59.7 %. At 2,000
    training rows it is 73.6 % against 72.1 %.
    """

    def __init__(self, body: Any, n_outputs: int, *, pairs: bool) -> None:
        super().__init__()
        self.body, self.pairs = body, pairs
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(body.config.hidden_size * (4 if pairs else 1), n_outputs)

    def forward(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """(sequences, outputs). `encoded` holds the body's own inputs and `second_from` (sequences,)."""
        body_inputs = {name: tensor for name, tensor in encoded.items() if name != SECOND}
        states = self.body(**body_inputs).last_hidden_state  # (sequences, tokens, hidden)
        real = encoded["attention_mask"].bool()  # (sequences, tokens)
        if not self.pairs:
            return self._score(_mean(states, real))
        places = torch.arange(real.shape[1], device=real.device)  # (tokens,)
        second = places >= encoded[SECOND].unsqueeze(1)  # (sequences, tokens)
        a, b = _mean(states, real & ~second), _mean(states, real & second)  # (sequences, hidden)
        return self._score(torch.cat([a, b, (a - b).abs(), a * b], dim=-1))

    def _score(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


def _mean(states: Tensor, chosen: Tensor) -> Tensor:
    """Mean over the chosen tokens, (sequences, hidden). Zeros where none are: a row without a second segment."""
    weights = chosen.unsqueeze(-1).to(states.dtype)  # (sequences, tokens, 1)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


# Rows as tokens


@dataclass(frozen=True)
class TokenisedRow:
    """One row's token sequences: one, or one per choice.

    `second_from` is the place of each sequence's first token of the second segment; its length where there is none.
    """

    sequences: tuple[dict[str, list[int]], ...]  # the body's inputs for each: input_ids, attention_mask, ...
    second_from: tuple[int, ...]
    truncated: bool

    @property
    def width(self) -> int:
        """The length of the longest sequence, in tokens."""
        return max(len(sequence["input_ids"]) for sequence in self.sequences)

    @property
    def n_tokens(self) -> int:
        return sum(len(sequence["input_ids"]) for sequence in self.sequences)


def encode(
    examples: Sequence[Example], tokenizer: Any, labels: Sequence[str] | None, max_length: int
) -> list[TokenisedRow]:
    """Tokenise every row. Without labels, a row has a sequence for each of its choices."""
    texts = [text for example in examples for text in _segments(example, tokenizer, labels)]
    encoded = tokenizer(texts, truncation=True, max_length=max_length)
    sequences = [{name: encoded[name][i] for name in encoded} for i in range(len(texts))]
    second_from = [_second_from(encoding.sequence_ids) for encoding in encoded.encodings]
    # The tokenizer keeps the tokens that were cut off.
    truncated = [bool(encoding.overflowing) for encoding in encoded.encodings]
    rows, start = [], 0
    for example in examples:
        end = start + (1 if labels is not None else len(example.choices or ()))
        own = slice(start, end)
        rows.append(TokenisedRow(tuple(sequences[own]), tuple(second_from[own]), any(truncated[own])))
        start = end
    return rows


def _second_from(segments: Sequence[int | None]) -> int:
    """The place of the second segment's first token, given each token's segment: 0, 1, or None for a special token."""
    return next((place for place, segment in enumerate(segments) if segment == 1), len(segments))


def _segments(example: Example, tokenizer: Any, labels: Sequence[str] | None) -> list[str | tuple[str, str]]:
    """A row's sequences before they are tokenised: each a text, or a pair of texts."""
    between = between_fields(tokenizer)
    if labels is None:
        return [(between.join(example.fields), choice) for choice in example.choices or ()]
    first, *rest = example.fields
    return [(first, between.join(rest)) if rest else first]


def between_fields(tokenizer: Any) -> str:
    """What stands between the fields of one segment."""
    return f" {tokenizer.sep_token} " if tokenizer.sep_token else "\n"


def collate(rows: Sequence[TokenisedRow], tokenizer: Any) -> dict[str, Tensor]:
    """All sequences of the rows, padded to the longest.

    Each of the body's inputs is (sequences, tokens), and `second_from` is (sequences,).
    """
    with bases.quiet():  # transformers would warn that tokenising again is faster than padding
        padded = tokenizer.pad([sequence for row in rows for sequence in row.sequences], return_tensors="pt")
    return dict(padded) | {SECOND: torch.tensor([place for row in rows for place in row.second_from])}


# Training


class TrainableRows:
    """The `Trainable` of students that pick among answers: tokenised training rows, and validation rows."""

    def __init__(
        self,
        job: TrainJob,
        module: nn.Module,
        tokenizer: Any,
        encoded: Callable[[Sequence[Example]], list[TokenisedRow]],
        label_smoothing: float,
    ) -> None:
        self.module, self._tokenizer, self._labels = module, tokenizer, job.labels
        self._rows = encoded(job.train)
        self._targets = _class_numbers(job, job.train)
        self._soft = _distributions(job) if job.task.student.soft_targets else None
        self._validation = encoded(job.validation)
        self.validation_targets = _class_numbers(job, job.validation)
        self._smoothing = label_smoothing
        self.n_truncated = sum(row.truncated for row in self._rows)

    def lengths(self) -> list[int]:
        return [row.width * len(row.sequences) for row in self._rows]

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        rows = [self._rows[i] for i in indices]
        targets = torch.tensor([self._targets[i] for i in indices])  # (rows,)
        if self._soft is not None:
            soft = [self._soft[i] for i in indices]
            targets = torch.nn.utils.rnn.pad_sequence(soft, batch_first=True)  # (rows, most answers)
        n_choices = torch.tensor([len(row.sequences) for row in rows])  # (rows,)
        return collate(rows, self._tokenizer) | {"targets": targets, "n_choices": n_choices}

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, int]:
        encoded = {name: tensor for name, tensor in batch.items() if name not in ("targets", "n_choices")}
        logits = self.module(encoded)  # (rows, labels), or (sequences, 1)
        targets, n_choices = batch["targets"], batch["n_choices"]
        if self._soft is not None:
            by_row = logits if self._labels is not None else objectives.by_row(logits[:, 0], n_choices)
            return objectives.soft_targets(by_row, targets)
        if self._labels is None:
            return objectives.choice(logits[:, 0], n_choices, targets)
        return objectives.classification(logits, targets, label_smoothing=self._smoothing)

    def validation_logits(self) -> Logits:
        return logits_of(self._validation, self.module, self._tokenizer, self._labels)

    def validate(self) -> float:
        """Accuracy."""
        return float((self.validation_logits().argmax(axis=-1) == self.validation_targets).mean())


def _class_numbers(job: TrainJob, examples: Sequence[Example]) -> list[int]:
    """Each row's target, as its number among the labels or the row's choices."""
    return [(job.labels or example.choices or ()).index(job.target(example)) for example in examples]


def _distributions(job: TrainJob) -> list[Tensor]:
    """The probabilities that each training row is to teach: the teacher's, or 1 for its label where it gave none."""
    rows = []
    for example in job.train:
        answers, target = job.labels or example.choices or (), job.target(example)
        rows.append(torch.tensor(job.distribution(example, answers) or [float(answer == target) for answer in answers]))
    return rows


def train(job: TrainJob) -> Trained:
    """Finetune all weights of the base."""
    config = job.settings(defaults(job.base))
    with seeded(job.seed):
        body, tokenizer = _scratch(job) if job.base == TINY else _pretrained(job.base)
        pairs = job.labels is None or any(len(example.fields) > 1 for example in job.train)
        module = Classifier(body, n_outputs=1 if job.labels is None else len(job.labels), pairs=pairs)
    max_length = min(config.max_length, tokenizer.model_max_length, body.config.max_position_embeddings)
    rows = TrainableRows(
        job,
        module,
        tokenizer,
        lambda examples: encode(examples, tokenizer, job.labels, max_length),
        config.label_smoothing,
    )
    return fit_rows(job, rows, config, lambda folder: _write(folder, module, tokenizer), {"max_length": max_length})


def fit_rows(
    job: TrainJob,
    rows: TrainableRows,
    config: TrainConfig,
    write_files: Callable[[Path], None],
    settings: Mapping[str, Any],
) -> Trained:
    """Train, then fit the temperature on the validation rows with the weights that are kept."""
    result = fit(
        rows, config, seed=job.seed, folder=job.checkpoints, gives_up=job.gives_up, on_progress=job.on_progress
    )
    with torch.no_grad(), autocast(config.bf16):
        temperature = fit_temperature(rows.validation_logits(), rows.validation_targets)
    return as_trained(
        result,
        rows.module,
        metric="accuracy",
        settings={**settings, "temperature": temperature, "train": asdict(config)},
        n_truncated=rows.n_truncated,
        write_files=write_files,
    )


def _pretrained(base: str) -> tuple[Any, Any]:
    source = bases.resolve(base)
    return bases.load_weights(transformers.AutoModel, source), bases.load_tokenizer(source)


def _scratch(job: TrainJob) -> tuple[Any, Any]:
    """Two small layers with random weights, and a vocabulary of the training rows' own words. For tests and toys."""
    texts = [text for example in job.train for text in (*example.fields, *(example.choices or ()))]
    tokenizer = word_tokenizer(texts)
    return transformers.BertModel(tiny_bert(tokenizer)), tokenizer


def tiny_bert(tokenizer: Any) -> Any:
    """The configuration of `scratch:tiny`."""
    return transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
    )


def word_tokenizer(texts: Sequence[str], **special_tokens: str) -> Any:
    """A tokenizer whose vocabulary is the texts' own words, in lower case."""
    split = pre_tokenizers.BertPreTokenizer()
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text.lower())})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *special_tokens.values()]
    numbers = {word: number for number, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = split
    ends = [("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=256,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **special_tokens,
    )


# Predicting


def logits_of(
    rows: Sequence[TokenisedRow],
    module: nn.Module,
    tokenizer: Any,
    labels: Sequence[str] | None,
    turns: AbstractContextManager[None] | None = None,
) -> Logits:
    """(rows, labels), or (rows, most choices) filled with -inf; in the rows' order.

    The sequences of a row with many choices are spread over several passes. Each pass takes a turn of its own.
    """
    sequences = [
        TokenisedRow((sequence,), (second,), row.truncated)
        for row in rows
        for sequence, second in zip(row.sequences, row.second_from, strict=True)
    ]
    outputs: dict[int, Logits] = {}
    for indices in _by_length(sequences, TOKENS_AT_ONCE if device().type == "cpu" else TOKENS_AT_ONCE_ON_GPU):
        with turns or contextlib.nullcontext():
            encoded = collate([sequences[i] for i in indices], tokenizer)
            of_pass = module({name: tensor.to(device()) for name, tensor in encoded.items()})
            outputs.update(zip(indices, of_pass.float().cpu().numpy(), strict=True))  # each (labels or 1,)
    in_order = [outputs[i] for i in range(len(sequences))]
    if labels is not None:
        return ragged(in_order)
    scores = iter(in_order)
    return ragged([np.concatenate(list(itertools.islice(scores, len(row.sequences)))) for row in rows])


def _by_length(rows: Sequence[TokenisedRow], most: int) -> Iterator[list[int]]:
    """The rows' numbers in batches of at most `most` tokens with padding, longest rows first."""
    batch: list[int] = []
    n_sequences = 0
    for i in sorted(range(len(rows)), key=lambda i: -rows[i].width):
        n_own = len(rows[i].sequences)
        if batch and (n_sequences + n_own) * rows[batch[0]].width > most:
            yield batch
            batch, n_sequences = [], 0
        batch.append(i)
        n_sequences += n_own
    if batch:
        yield batch


def _portions(examples: Sequence[Example], labels: Sequence[str] | None) -> Iterator[list[tuple[int, Example]]]:
    """The rows with their numbers, in portions of CHARACTERS_AT_ONCE to tokenise.

    A row is tokenised once per choice of its own. One with many choices is in several portions, each with some of them.
    """
    portion: list[tuple[int, Example]] = []
    n_characters = 0
    for at, example in enumerate(examples):
        n_input = len(example.text)
        for own in (
            [example] if labels is not None else _few_choices(example, max(1, CHARACTERS_AT_ONCE // (n_input + 1)))
        ):
            n_own = n_input if labels is not None else sum(n_input + len(choice) for choice in own.choices or ())
            if portion and n_characters + n_own > CHARACTERS_AT_ONCE:
                yield portion
                portion, n_characters = [], 0
            portion.append((at, own))
            n_characters += n_own
    if portion:
        yield portion


def _few_choices(example: Example, most: int) -> Iterator[Example]:
    choices = example.choices or ()
    for start in range(0, len(choices), most):
        yield replace(example, choices=choices[start : start + most])


def _joined(parts: Sequence[TokenisedRow]) -> TokenisedRow:
    """A row of which the choices were tokenised part by part."""
    return TokenisedRow(
        tuple(sequence for part in parts for sequence in part.sequences),
        tuple(place for part in parts for place in part.second_from),
        any(part.truncated for part in parts),
    )


class EncoderStudent:
    """Confidence is the answer's probability after temperature scaling; `scores` are those of all labels or choices.

    A row's latency is the time of its whole call, because it waited that long. To time one request, predict one row.
    """

    family = "encoder"

    def __init__(self, header: Header, folder: Path, module: nn.Module, tokenizer: Any) -> None:
        self.name = f"{header.task.name}/{header.spec}"
        self.task, self.labels, self.input_fields = header.task, header.labels, header.input_fields
        self.size_bytes = size_bytes(folder)
        self.temperature = float(header.settings["temperature"])
        self.max_length = int(header.settings["max_length"])
        self.module, self.tokenizer = module, tokenizer
        # Fast tokenizers refuse to be shared between threads, and torch uses all cores for one call anyway. A call of
        # many rows or choices takes a turn for each slice of its work, so that a short row is answered in between. One
        # long text is one slice of tokenising, so long texts have a tokenizer of their own.
        self._to_compute, self._to_tokenise, self._to_tokenise_long = Turns(), Turns(), Turns()
        self._tokenizer_of_long: Any = None  # a copy, made with the first of them

    async def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        return await asyncio.to_thread(self._predict, inputs)

    def _encode(self, examples: Sequence[Example], tokenizer: Any) -> list[TokenisedRow]:
        return encode(examples, tokenizer, self.labels, self.max_length)

    def _tokenised(self, examples: Sequence[Example]) -> list[TokenisedRow]:
        parts: list[list[TokenisedRow]] = [[] for _ in examples]
        for portion in _portions(examples, self.labels):
            encoded = self._encoded([example for _, example in portion])
            for (at, _), part in zip(portion, encoded, strict=True):
                parts[at].append(part)
        return [_joined(of_row) for of_row in parts]

    def _encoded(self, examples: Sequence[Example]) -> list[TokenisedRow]:
        n_times = [1 if self.labels is not None else len(example.choices or ()) for example in examples]
        if sum(n * len(example.text) for n, example in zip(n_times, examples, strict=True)) <= SHORT_TEXT:
            with self._to_tokenise:
                return self._encode(examples, self.tokenizer)
        with self._to_tokenise_long:
            if self._tokenizer_of_long is None:
                with self._to_tokenise:
                    self._tokenizer_of_long = copy.deepcopy(self.tokenizer)
            return self._encode(examples, self._tokenizer_of_long)

    def _predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        began = time.perf_counter()
        answerable = [example for example in inputs if self.labels is not None or example.choices]
        if not answerable:
            return [no_choices(example) for example in inputs]
        with torch.inference_mode():
            rows = self._tokenised(answerable)
            logits = logits_of(rows, self.module, self.tokenizer, self.labels, self._to_compute)
            probabilities, raw = softmax(logits, self.temperature), softmax(logits)
        latency_s = time.perf_counter() - began
        usages = [Usage(input_tokens=row.n_tokens, output_tokens=0) for row in rows]
        scored = zip(probabilities, raw, usages, strict=True)
        predictions = choice_predictions(inputs, self.labels, scored, latency_s)
        left = iter(rows)
        return [
            prediction if prediction.output is None else replace(prediction, is_input_cut=next(left).truncated)
            for prediction in predictions
        ]


# On disk


def _write(folder: Path, module: Classifier, tokenizer: Any) -> None:
    bases.save(folder, module.body, tokenizer)
    save_tensors(folder / HEAD, module.head.state_dict())


def load(folder: Path, header: Header) -> EncoderStudent:
    check_config(folder)
    body, loaded = bases.load_weights(transformers.AutoModel, str(folder), **TELLING_WHAT_FITS)
    check_loaded(folder, loaded)
    tokenizer = bases.load_tokenizer(str(folder))
    n_outputs, width = 1 if header.labels is None else len(header.labels), body.config.hidden_size
    pairs = tensor_shapes(folder / HEAD).get("weight", ("", ()))[1] == (n_outputs, 4 * width)
    check_tensors(folder / HEAD, {"weight": (n_outputs, width * (4 if pairs else 1)), "bias": (n_outputs,)})
    module = Classifier(body, n_outputs, pairs=pairs)
    module.head.load_state_dict(load_file(folder / HEAD))
    check_model(folder, body, tokenizer)
    check_weights(folder / HEAD, module.head)
    module.to(device()).eval()
    return tried(EncoderStudent(header, folder, module, tokenizer), folder)


def tried(student: EncoderStudent, folder: Path) -> EncoderStudent:
    """The student, after one row: what is wrong with its files shows itself here, and not to a user."""
    if (row := probe(student.labels, student.input_fields)) is not None:
        [answer] = student._predict([row])
        check_answer(folder, (answer.confidence, answer.raw_confidence))
    return student
