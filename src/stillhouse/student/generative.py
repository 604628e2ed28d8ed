"""The generative student: text in, text out, by an encoder-decoder or a decoder-only model, finetuned in full.

A base is a Hugging Face id or a folder, whose config says which of the two kinds it is. Or it is `scratch:tiny`,
`scratch:small` or `scratch:small-decoder`: random weights and a vocabulary of the task's own text (`tokenizer`). The
first two of these can also copy from the question (`copying`).

There are two recipes. `sft` learns the answers. `step_by_step` (Hsieh et al. 2023, 2305.02301) also learns to explain:
in training each row is asked twice, `predict:` for the label and `explain:` for the rationale. Later the student is
asked for the label alone.
"""

import asyncio
import copy
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from stillhouse.errors import ArtifactError, UserError
from stillhouse.json_labels import same_json, value_spelled
from stillhouse.records import Example, Prediction, Usage
from stillhouse.student import bases, objectives
from stillhouse.student.artifact import Header, size_bytes
from stillhouse.student.calibration import fit_sigmoid, sigmoid
from stillhouse.student.config import TrainConfig
from stillhouse.student.copying import CopyingT5
from stillhouse.student.decoding import Decoded, greedy, padded
from stillhouse.student.header import AGAIN
from stillhouse.student.job import Trained, TrainJob
from stillhouse.student.opening import (
    TELLING_WHAT_FITS,
    check_answer,
    check_config,
    check_loaded,
    check_model,
    probe,
)
from stillhouse.student.own_text import as_answer, as_question, from_answer
from stillhouse.student.tokenizer import train_bpe
from stillhouse.student.train import as_trained, autocast, device, fit, seeded
from stillhouse.student.turns import SHORT_TEXT, Turns

PREDICT, EXPLAIN = "predict: ", "explain: "
ALPHA = 0.5  # the label's share of the step-by-step loss; the paper weighs both tasks equally (section 4.1)
TOKENS_AT_ONCE = 8192  # most tokens in one forward pass without gradients, padding included
CHOICES, BETWEEN_CHOICES = "\nchoices: ", " | "  # text between a row's input and its choices, and between these
LEFT_OUT = 0.1  # share of a question's tokens that a training step leaves out; see `_TrainablePairs._thinned`


def defaults(base: str) -> TrainConfig:
    """Random weights: measured on the demo's questions (docs/lab-notes.md). Else as an encoder, in larger batches."""
    if base == "scratch:tiny":
        return TrainConfig(epochs=30, min_steps=300, learning_rate=5e-3, schedule="cosine")
    if base.startswith("scratch:"):
        return TrainConfig(
            epochs=15,
            learning_rate=2e-3,
            tokens_per_batch=1024,
            schedule="cosine",
            betas=(0.9, 0.98),
            max_validations=5,
        )
    return TrainConfig(epochs=3, learning_rate=1e-4, tokens_per_batch=4096)


# Rows as tokens


@dataclass(frozen=True)
class TokenisedPair:
    """One question and its answer as token numbers, the end token included."""

    source: list[int]
    target: list[int]
    explains: bool  # whether the answer is a rationale
    truncated: bool


@dataclass(frozen=True, kw_only=True)
class _Coder:
    """Text to token numbers and back: the same in training, in validation and when the student answers."""

    tokenizer: Any
    encoder_decoder: bool  # False: decoder-only
    max_length: int  # most tokens of a question, and of an answer
    prefixed: bool  # whether a question begins with PREDICT or EXPLAIN
    own: bool  # whether the vocabulary was made for this task alone

    @property
    def end(self) -> int:
        number: int = self.tokenizer.eos_token_id
        return number

    @property
    def pad(self) -> int:
        number: int | None = self.tokenizer.pad_token_id
        return self.end if number is None else number

    @property
    def settings(self) -> dict[str, Any]:
        """What `student.json` keeps of it."""
        return {"max_length": self.max_length, "prefixed": self.prefixed, "own": self.own}

    def question(self, text: str, most_words: int | None = None) -> list[int]:
        return list(self.tokenizer(as_question(text, most_words) if self.own else text)["input_ids"])

    def source(self, example: Example, prefix: str = PREDICT) -> tuple[list[int], bool]:
        """(tokens, whether they were cut). Of a question that is too long the beginning is kept."""
        choices = CHOICES + BETWEEN_CHOICES.join(example.choices) if example.choices else ""
        text = (prefix if self.prefixed else "") + example.text + choices
        # One word more than is read tells that it was cut, and an end token may follow.
        ids = self.question(text if self.encoder_decoder else text + "\n", self.max_length + 2)
        has_end = bool(ids) and ids[-1] == self.end
        if self.encoder_decoder and not has_end:
            ids.append(self.end)
        if not self.encoder_decoder and has_end:
            ids.pop()  # some tokenizers end every text with an end token, but here the answer follows
        return ids[: self.max_length], len(ids) > self.max_length

    def target(self, text: str) -> tuple[list[int], bool]:
        ids = list(self.tokenizer(as_answer(text) if self.own else text, add_special_tokens=False)["input_ids"])
        return [*ids[: self.max_length - 1], self.end], len(ids) > self.max_length - 1

    def pair(self, example: Example, answer: str, prefix: str = PREDICT) -> TokenisedPair:
        source, cut = self.source(example, prefix)
        target, target_cut = self.target(answer)
        return TokenisedPair(source, target, prefix == EXPLAIN, cut or target_cut)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of an answer's tokens, without the spaces around it."""
        return self._decoded(tokens).strip()

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """What each token adds to the text. Joined, the pieces are the text.

        A token that is the first part of a character adds nothing; the token that completes the character adds it.
        """
        pieces, n_shown = [], 0
        for count in range(1, len(tokens) + 1):
            text = self._decoded(tokens[:count])
            if count < len(tokens):
                text = text.rstrip("\ufffd")  # an incomplete character is decoded as U+FFFD, which is cut off
            pieces.append(text[n_shown:])
            n_shown = max(n_shown, len(text))
        return pieces

    def _decoded(self, tokens: Sequence[int]) -> str:
        decoded: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return from_answer(decoded) if self.own else decoded


# Training


class _TrainablePairs:
    """The `Trainable` of students that write. With step-by-step a row is two pairs, which always share a batch."""

    def __init__(self, job: TrainJob, model: Any, coder: _Coder, config: TrainConfig) -> None:
        self.module, self._coder, self._config = model, coder, config
        self._step_by_step = job.task.student.recipe == "step_by_step"
        self._never_left_out = set(coder.question(PREDICT + EXPLAIN)) if coder.prefixed else set()
        self._rows = [self._pairs(example, job.target(example)) for example in job.train]
        self._validation = [(coder.source(example)[0], job.target(example)) for example in job.validation]
        self._same = same_json if job.task.output == "json" else _same_words
        self.n_truncated = sum(any(pair.truncated for pair in row) for row in self._rows)
        longest = max(len(row[0].target) for row in self._rows)
        self.most_new_tokens = min(math.ceil(1.5 * longest) + 8, coder.max_length)

    def _pairs(self, example: Example, answer: str) -> list[TokenisedPair]:
        pairs = [self._coder.pair(example, answer)]
        if self._step_by_step and example.teacher_rationale:
            pairs.append(self._coder.pair(example, example.teacher_rationale, EXPLAIN))
        return pairs

    def lengths(self) -> list[int]:
        return [sum(len(pair.source) + len(pair.target) for pair in row) for row in self._rows]

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """With step-by-step, more pairs than rows. Of a decoder-only model the input is question and answer in one."""
        pairs = [pair for i in indices for pair in self._rows[i]]
        inputs, targets = [self._thinned(pair) for pair in pairs], [pair.target for pair in pairs]
        if not self._coder.encoder_decoder:
            # The token at t is predicted at t - 1: the question's last token predicts the answer's first.
            # The rest of the question carries no loss.
            shifted = [
                [objectives.IGNORE] * (len(source) - 1) + target + [objectives.IGNORE]
                for source, target in zip(inputs, targets, strict=True)
            ]
            inputs = [source + target for source, target in zip(inputs, targets, strict=True)]
            targets = shifted
        ids, mask = padded(inputs, self._coder.pad, "cpu")  # (pairs, longest input)
        wanted, _ = padded(targets, objectives.IGNORE, "cpu")  # (pairs, longest target)
        explains = torch.tensor([pair.explains for pair in pairs])  # (pairs,)
        return {"input_ids": ids, "attention_mask": mask, "targets": wanted, "explains": explains}

    def _thinned(self, pair: TokenisedPair) -> list[int]:
        """The question without some of its tokens, drawn anew each time (Iyyer et al. 2015, section 2.3).

        Random weights would else learn whole questions by heart. Dropout would serve as well, but takes a third of a
        step on a CPU. A token of the answer is never left out, because the student copies it from the question.
        """
        if not (self._coder.own and self.module.training):
            return pair.source
        stays = self._never_left_out.union(pair.target)
        draws = torch.rand(len(pair.source)).tolist()
        seen = [token for token, draw in zip(pair.source, draws, strict=True) if draw >= LEFT_OUT or token in stays]
        return seen or pair.source[-1:]  # a question is never empty: its last token predicts the answer's first

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, int]:
        targets, smoothing = batch["targets"], self._config.label_smoothing
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        if self._coder.encoder_decoder:
            inputs["decoder_input_ids"] = self.module.prepare_decoder_input_ids_from_labels(targets)
        logits = self.module(**inputs, use_cache=False).logits  # (pairs, longest target, vocabulary)
        if self._step_by_step:
            return objectives.step_by_step(logits, targets, batch["explains"], alpha=ALPHA, label_smoothing=smoothing)
        return objectives.sft(logits, targets, label_smoothing=smoothing)

    def validate(self) -> float:
        """The share of validation rows whose answer is the wanted one: the same value of JSON, else the same words."""
        _, right = self.validation_answers()
        return sum(right) / len(right)

    def validation_answers(self) -> tuple[list[float], list[bool]]:
        """Per validation row: the mean log-probability of the answer's tokens, and whether it is the wanted one."""
        sources = [source for source, _ in self._validation]
        decoded = decode(self.module, sources, self._coder, self.most_new_tokens)
        answers = [self._coder.text(answer.tokens) for answer in decoded]
        right = [self._same(answer, wanted) for answer, (_, wanted) in zip(answers, self._validation, strict=True)]
        return [_mean_log_p(answer) for answer in decoded], right


def _same_words(answer: str, wanted: str) -> bool:
    return answer.split() == wanted.split()


def train(job: TrainJob) -> Trained:
    """Finetune all weights of the base. Raises UserError where step-by-step is wanted and no row has a rationale."""
    step_by_step, scratch = job.task.student.recipe == "step_by_step", job.base.startswith("scratch:")
    if step_by_step and not any(example.teacher_rationale for example in job.train):
        raise UserError(
            f'{job.task.name}: recipe = "step_by_step" needs rationales and no training row has one; '
            'run `stillhouse label --rationales`, or use recipe = "sft"'
        )
    config = job.settings(defaults(job.base))
    with seeded(job.seed):
        model, tokenizer = _scratch(job) if scratch else _pretrained(job.base)
    coder = _coder(model, tokenizer, config.max_length, prefixed=step_by_step, own=scratch)
    rows = _TrainablePairs(job, model, coder, config)
    result = fit(
        rows, config, seed=job.seed, folder=job.checkpoints, gives_up=job.gives_up, on_progress=job.on_progress
    )
    with torch.no_grad(), autocast(config.bf16):
        calibration = fit_sigmoid(*rows.validation_answers())
    settings = {
        **coder.settings,
        "most_new_tokens": rows.most_new_tokens,
        "calibration": calibration,
        "train": asdict(config),
    }
    return as_trained(
        result,
        model,
        metric="exact_match",
        settings=settings,
        n_truncated=rows.n_truncated,
        write_files=lambda folder: bases.save(folder, model, tokenizer),
    )


def _coder(model: Any, tokenizer: Any, max_length: int, *, prefixed: bool, own: bool) -> _Coder:
    positions = getattr(model.config, "max_position_embeddings", None) or max_length
    encoder_decoder = bool(model.config.is_encoder_decoder)
    # A decoder-only model holds question and answer in one sequence.
    limit = min(max_length, positions if encoder_decoder else positions // 2, tokenizer.model_max_length)
    return _Coder(tokenizer=tokenizer, encoder_decoder=encoder_decoder, max_length=limit, prefixed=prefixed, own=own)


def _pretrained(base: str) -> tuple[Any, Any]:
    source = bases.resolve(base)
    config = bases.from_pretrained(transformers.AutoConfig, source)
    tokenizer = bases.from_pretrained(transformers.AutoTokenizer, source)
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"the base {base!r} has a tokenizer without an end token, so its answers would never end; use another base"
        )
    return bases.load_weights(_kind(config), source), tokenizer


def _kind(config: Any) -> Any:
    """The class that loads a model of this config."""
    if CopyingT5.__name__ in (config.architectures or ()):
        return CopyingT5
    return transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM


def _scratch(job: TrainJob) -> tuple[Any, Any]:
    """Random weights and a vocabulary from the training rows. No dropout: it takes a third of a step on a CPU."""
    sizes = {"tiny": (64, 2, 2, 600), "small": (128, 2, 4, 2000), "small-decoder": (128, 4, 4, 2000)}
    size = job.base.partition(":")[2]
    if size not in sizes:
        bases_there_are = ", ".join(f"scratch:{name}" for name in sizes)
        raise UserError(f"unknown base {job.base!r}; random weights come as {bases_there_are}")
    width, layers, heads, vocabulary = sizes[size]
    questions = [PREDICT + EXPLAIN + example.text for example in job.train]
    answers = [text for example in job.train for text in (job.target(example), example.teacher_rationale) if text]
    tokenizer = train_bpe(questions, answers, vocabulary)
    common = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    if size.endswith("decoder"):
        config = transformers.LlamaConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=3 * width,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=None,
            **common,
        )
        return transformers.LlamaForCausalLM(config), tokenizer
    config = transformers.T5Config(
        d_model=width,
        d_kv=width // heads,
        d_ff=3 * width,
        num_layers=layers,
        num_heads=heads,
        dropout_rate=0.0,
        feed_forward_proj="relu",
        decoder_start_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        **common,
    )
    return CopyingT5(config), tokenizer


# Answering


@dataclass(frozen=True, kw_only=True)
class GeneratedAnswer:
    """One answer with its tokens."""

    text: str
    tokens: list[str]
    # Log-probability of each token; the end token's is not listed, but counts in `confidence`.
    token_logprobs: list[float]
    confidence: float
    raw_confidence: float | None  # the confidence before calibration; None where nothing was calibrated
    n_input: int  # number of tokens of the question
    is_input_cut: bool  # of a question that is too long only the beginning was read
    ended: bool  # False: the answer was cut at the limit


def decode(
    model: Any,
    sources: Sequence[Sequence[int]],
    coder: _Coder,
    most: int,
    turns: AbstractContextManager[None] | None = None,
) -> list[Decoded]:
    """Greedy answers in the order of the sources, batched by length. Each pass of the model takes a turn of its own."""
    answers: dict[int, Decoded] = {}
    for indices in _by_length(sources, most):
        of_batch = greedy(model, [sources[i] for i in indices], pad=coder.pad, end=coder.end, most=most, turns=turns)
        answers.update(zip(indices, of_batch, strict=True))
    return [answers[i] for i in range(len(sources))]


def _by_length(sources: Sequence[Sequence[int]], most: int) -> Iterator[list[int]]:
    """The sources' numbers in batches of at most TOKENS_AT_ONCE tokens, `most` new ones per source among them."""
    batch: list[int] = []
    for i in sorted(range(len(sources)), key=lambda i: -len(sources[i])):
        if batch and (len(batch) + 1) * (len(sources[batch[0]]) + most) > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _mean_log_p(answer: Decoded) -> float:
    """Over the answer's tokens and its end."""
    return sum(answer.logprobs) / len(answer.logprobs)


class GenerativeStudent:
    """Confidence is the probability that the answer is the wanted one to the letter.

    It is made from the mean log p of the answer's tokens and its end, calibrated on the validation rows. Where these
    were too few, it is exp(mean log p). A row's latency is the time of its whole call, because it waited that long.
    """

    family = "generative"

    def __init__(self, header: Header, folder: Path, model: Any, tokenizer: Any) -> None:
        self.name = f"{header.task.name}/{header.spec}"
        self.task, self.labels, self.input_fields = header.task, header.labels, header.input_fields
        self.size_bytes = size_bytes(folder)
        settings = header.settings
        self.most_new_tokens = int(settings["most_new_tokens"])
        self.calibration = settings.get("calibration")  # (slope, offset); artifacts of earlier versions have none
        self.coder = _coder(
            model,
            tokenizer,
            int(settings["max_length"]),
            prefixed=bool(settings["prefixed"]),
            own=bool(settings["own"]),
        )
        self.model = model
        # Fast tokenizers refuse to be shared between threads, and torch uses all cores for one call anyway. A call of
        # many rows takes a turn for each slice of its work, so that others are answered in between.
        self._turns = Turns()
        # One long text is one slice of tokenising, so long texts have a tokenizer of their own.
        self._long_turns = Turns()
        self._coder_of_long: _Coder | None = None  # a copy, made with the first of them

    async def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        began = time.perf_counter()
        answers = await self.generate(inputs)
        latency_s = time.perf_counter() - began
        return [self._prediction(example, answer, latency_s) for example, answer in zip(inputs, answers, strict=True)]

    async def generate(self, inputs: Sequence[Example]) -> list[GeneratedAnswer]:
        """The answers with their tokens and log-probabilities, in input order."""
        return await asyncio.to_thread(self._generate, inputs)

    def count_tokens(self, text: str) -> int:
        with self._turns:
            return len(self.coder.question(text))

    def _generate(self, inputs: Sequence[Example], most: int | None = None) -> list[GeneratedAnswer]:
        with torch.inference_mode(), autocast(None):
            sources = [self._source(example) for example in inputs]
            decoded = decode(
                self.model, [ids for ids, _ in sources], self.coder, most or self.most_new_tokens, self._turns
            )
            with self._turns:
                return [self._generated(*source, answer) for source, answer in zip(sources, decoded, strict=True)]

    def _source(self, example: Example) -> tuple[list[int], bool]:
        if len(example.text) + sum(map(len, example.choices or ())) <= SHORT_TEXT:
            with self._turns:
                return self.coder.source(example)
        with self._long_turns:
            if self._coder_of_long is None:
                with self._turns:
                    self._coder_of_long = replace(self.coder, tokenizer=copy.deepcopy(self.coder.tokenizer))
            return self._coder_of_long.source(example)

    def _generated(self, source: Sequence[int], is_cut: bool, answer: Decoded) -> GeneratedAnswer:
        log_p = _mean_log_p(answer)
        return GeneratedAnswer(
            text=self.coder.text(answer.tokens),
            tokens=self.coder.pieces(answer.tokens),
            token_logprobs=answer.logprobs[: len(answer.tokens)],
            confidence=sigmoid(log_p, self.calibration),
            raw_confidence=None if self.calibration is None else math.exp(log_p),
            n_input=len(source),
            is_input_cut=is_cut,
            ended=answer.ended,
        )

    def _prediction(self, example: Example, answer: GeneratedAnswer, latency_s: float) -> Prediction:
        usage = Usage(input_tokens=answer.n_input, output_tokens=len(answer.tokens) + 1)
        allowed = example.choices or self.labels
        found = Prediction(None, usage=usage, latency_s=latency_s, is_input_cut=answer.is_input_cut)
        if not answer.ended:
            return replace(found, error=f"the answer did not end within {self.most_new_tokens} tokens")
        if allowed is not None and answer.text not in allowed:
            return replace(found, error="the answer is none of the choices")
        text: str | None = answer.text
        if self.task.output == "json" and (text := value_spelled(answer.text)) is None:
            return replace(found, error="the answer is not valid JSON")
        return replace(found, output=text, confidence=answer.confidence, raw_confidence=answer.raw_confidence)


# On disk


def load(folder: Path, header: Header) -> GenerativeStudent:
    check_config(folder)
    config = bases.from_pretrained(transformers.AutoConfig, str(folder))
    model, loaded = bases.load_weights(_kind(config), str(folder), **TELLING_WHAT_FITS)
    check_loaded(folder, loaded)
    tokenizer = bases.from_pretrained(transformers.AutoTokenizer, str(folder))
    check_model(folder, model, tokenizer)
    if tokenizer.eos_token_id is None:
        raise ArtifactError(f"{folder}: its vocabulary has no end token, so no answer would end; {AGAIN}")
    student = GenerativeStudent(header, folder, model.to(device()).eval(), tokenizer)
    if (row := probe(header.labels, header.input_fields)) is not None:
        [answer] = student._generate([row], most=1)
        check_answer(folder, (answer.confidence, *answer.token_logprobs))
    return student
