"""The training loop, one for all student families and objectives.

A family hands over a `Trainable`: rows in, loss out. The loop owns batches, precision, optimizer, schedule, validation,
early stop and checkpoints. It runs in one process, on one device.

The same rows, config and seed give the same weights. On the CPU in float32, a training that was killed and resumed ends
with the same bits as one that was not.
"""

import hashlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from stillhouse.errors import StillhouseError
from stillhouse.records import Progress
from stillhouse.stopping import stopping
from stillhouse.student.checkpoint import CHECKPOINT, State, live, restore, resume, save_checkpoint
from stillhouse.student.config import TrainConfig
from stillhouse.student.job import TRAINING, Trained


class Trainable(Protocol):
    """What a family hands the loop: a module and rows that are already tokenised."""

    @property
    def module(self) -> nn.Module: ...

    def lengths(self) -> Sequence[int]:
        """How many tokens each training row takes up in a batch. Rows of like length share batches."""
        ...

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The padded tensors of these rows, on the CPU."""
        ...

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, int]:
        """The SUM of the batch's losses and the number of terms (tokens or rows); the loop divides."""
        ...

    def validate(self) -> float:
        """The score on the validation rows; higher is better. Called in eval mode, without gradients."""
        ...


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """How a training went. The module holds the weights of the best validation."""

    best_validation: float
    best_step: int
    steps: int  # number of steps taken; fewer than planned where training stopped early
    epochs: float
    stopped_early: bool
    gave_up: bool  # stopped early because nothing was learned; the checkpoint is kept
    wall_s: float  # training time over all sittings together, in seconds
    resumed_at: int | None  # the step of the checkpoint that this run went on from
    validations: tuple[tuple[int, float], ...]  # (step, score)


def fit(
    trainable: Trainable,
    config: TrainConfig,
    *,
    seed: int,
    folder: Path,
    gives_up: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FitResult:
    """Train `trainable.module` in place and leave the best weights in it.

    `folder` takes the checkpoint; if one is there, training goes on from it, or from the beginning where it is damaged:
    the log says so. The caller removes it once the student is saved, and gives every training (rows, config, seed)
    a folder of its own. `gives_up`: stop where nothing is learned; the checkpoint of that step is there then, and a
    training that does not give up goes on from it. Raises StillhouseError where the
    loss is no longer a number, StorageError on a full disk.
    """
    module, checkpoint = trainable.module.to(device()), folder / CHECKPOINT
    optimizer = _optimizer(module, config)
    widths = [-(-length // BUCKET) * BUCKET for length in trainable.lengths()]
    steps_per_epoch = len(epoch_batches(widths, config.tokens_per_batch, seed=seed, epoch=0))
    total = max(math.ceil(config.epochs * steps_per_epoch), config.min_steps)
    validate_at = validation_steps(total, steps_per_epoch, config)

    with seeded(seed):
        state, best = resume(checkpoint, module, optimizer, total)
        resumed_at = state.step or None
        began, last_checkpoint = clock() - state.wall_s, clock()
        stopped_early, gave_up, saved_step = False, False, state.step
        batches = _batches(widths, config.tokens_per_batch, seed, start=state.step)
        with stopping.telling(lambda: _kept(saved_step, total)), stopping.at_a_step() as asked_to_stop:
            while state.step < total and not stopped_early:
                learning_rate = learning_rate_at(state.step, total, config)
                loss = _train_step(trainable, config, optimizer, next(batches), learning_rate)
                state.step += 1
                if not math.isfinite(loss):
                    raise StillhouseError(
                        f"training broke at step {state.step}: the loss is {loss}; "
                        f"use a learning rate below {config.learning_rate:g}"
                    )
                if state.step in validate_at:
                    stopped_early = _validate(trainable, config, state, best)
                    gave_up = gives_up and state.step < total and nothing_learned(state.validations, total)
                if on_progress is not None:
                    on_progress(Progress(state.step, total, TRAINING, unit="steps", note=_note(loss, state)))
                more_to_do = state.step < total and not stopped_early
                stops = more_to_do and (gave_up or asked_to_stop())
                if stops or (more_to_do and clock() - last_checkpoint >= config.checkpoint_every_s):
                    state.wall_s = clock() - began
                    save_checkpoint(checkpoint, module, optimizer, state, best)
                    last_checkpoint, saved_step = clock(), state.step
                if gave_up:
                    stopped_early = True
                elif stops:
                    raise KeyboardInterrupt
    restore(module, best)
    module.eval()
    assert state.best_validation is not None  # the last step always validates
    return FitResult(
        best_validation=state.best_validation,
        best_step=state.best_step,
        steps=state.step,
        epochs=round(state.step / steps_per_epoch, 3),
        stopped_early=stopped_early,
        gave_up=gave_up,
        wall_s=clock() - began,
        resumed_at=resumed_at,
        validations=state.validations,
    )


def _kept(step: int, total: int) -> str:
    if step == 0:
        return f"the training had no checkpoint yet, and begins again (of {total:,} steps)"
    return f"the training is kept up to step {step:,} of {total:,}, its last checkpoint"


def as_trained(
    result: FitResult,
    module: nn.Module,
    *,
    metric: str,
    settings: Mapping[str, Any],
    n_truncated: int,
    write_files: Callable[[Path], None],
) -> Trained:
    """What a family gives back after `fit`."""
    return Trained(
        write_files=write_files,
        settings=settings,
        best_validation=result.best_validation,
        metric=metric,
        n_parameters=sum(parameter.numel() for parameter in module.parameters()),
        wall_s=result.wall_s,
        epochs=result.epochs,
        steps=result.steps,
        stopped_early=result.stopped_early,
        n_truncated=n_truncated,
        resumed_at=result.resumed_at,
        gave_up=result.gave_up,
    )


# Batches

# The width of a bucket in tokens; rows whose lengths round up to the same multiple are shuffled among themselves.
BUCKET = 8


def epoch_batches(widths: Sequence[int], tokens_per_batch: int, *, seed: int, epoch: int) -> list[list[int]]:
    """The batches of one epoch, in training order.

    A batch holds rows of like width, at most `tokens_per_batch` tokens with padding. Each epoch draws anew which rows
    of a width share a batch, and in which order the batches come. Their number is the same in every epoch, because the
    sorted widths alone decide where one batch ends and the next begins.

    Equal arguments give equal batches: a resumed training needs no more than its step number to go on.
    """
    draw = torch.Generator().manual_seed(_mix(seed, epoch))
    shuffled = torch.randperm(len(widths), generator=draw).tolist()
    # Widest first, so that the one batch that is not full is a cheap one. Rows of equal width stay shuffled.
    by_width = sorted(shuffled, key=lambda row: -widths[row])
    batches: list[list[int]] = []
    for row in by_width:
        if batches and (len(batches[-1]) + 1) * widths[batches[-1][0]] <= tokens_per_batch:
            batches[-1].append(row)
        else:
            batches.append([row])
    return [batches[i] for i in torch.randperm(len(batches), generator=draw).tolist()]


def _batches(widths: Sequence[int], tokens_per_batch: int, seed: int, *, start: int) -> Iterator[list[int]]:
    """The batches of all epochs, one epoch after another, from step `start` on. They do not end."""
    steps_per_epoch = len(epoch_batches(widths, tokens_per_batch, seed=seed, epoch=0))
    first_epoch, position = divmod(start, steps_per_epoch)
    for epoch in itertools.count(first_epoch):
        batches = epoch_batches(widths, tokens_per_batch, seed=seed, epoch=epoch)
        yield from batches[position if epoch == first_epoch else 0 :]


def validation_steps(total: int, steps_per_epoch: int, config: TrainConfig) -> frozenset[int]:
    """After which steps to validate: evenly spaced, and after the last step in any case."""
    wanted = round(total / steps_per_epoch * config.validations_per_epoch)
    count = max(1, min(wanted, config.max_validations, total))
    return frozenset(math.ceil(total * (i + 1) / count) for i in range(count))


def nothing_learned(validations: Sequence[tuple[int, float]], total: int) -> bool:
    """Whether no validation row was answered right in any of two validations or more, by the half of the training."""
    last_step = validations[-1][0] if validations else 0
    return len(validations) >= 2 and 2 * last_step >= total and all(score == 0 for _, score in validations)


# One step


def learning_rate_at(step: int, total: int, config: TrainConfig) -> float:
    """A line up to the peak during the warmup, then a cosine or a line down. It is still above 0 at the last step."""
    warmup = math.ceil(config.warmup * total)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    # The share of the steps that is left: 1 at the peak, above 0 at the last step.
    left = (total - step) / max(total - warmup, 1)
    return config.learning_rate * (left if config.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2)


def _train_step(
    trainable: Trainable,
    config: TrainConfig,
    optimizer: torch.optim.Optimizer,
    indices: Sequence[int],
    learning_rate: float,
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    batch = {name: tensor.to(device(), non_blocking=True) for name, tensor in trainable.batch(indices).items()}
    with autocast(config.bf16):
        summed, count = trainable.loss(batch)
    loss = summed / max(count, 1)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(trainable.module.parameters(), config.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def _validate(trainable: Trainable, config: TrainConfig, state: State, best: dict[str, Tensor]) -> bool:
    """Score the validation rows, keep the weights in `best` if none were better, and say whether to stop.

    Of two equal scores the later weights are kept: they were trained longer, at a lower learning rate. For `patience`
    an equal score is no gain.
    """
    trainable.module.eval()
    with torch.no_grad(), autocast(config.bf16):
        score = trainable.validate()
    trainable.module.train()
    state.validations += ((state.step, score),)
    gain = state.best_validation is None or score > state.best_validation
    if gain or score == state.best_validation:
        best.update({name: tensor.detach().to("cpu", copy=True) for name, tensor in live(trainable.module).items()})
        state.best_validation, state.best_step = score, state.step
    state.without_gain = 0 if gain else state.without_gain + 1
    return config.patience is not None and state.without_gain >= config.patience


def _optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def _note(loss: float, state: State) -> str:
    best = "" if state.best_validation is None else f", best validation {state.best_validation:.3f}"
    return f"loss {loss:.3f}{best}"


# Where it runs


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bf16_is_native() -> bool:
    """Whether the hardware multiplies bfloat16: a CPU with AMX, a GPU from Ampere on. Elsewhere float32 is faster."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_amx_tile_supported()


def bf16_pays() -> bool:
    """Whether a pretrained encoder trains faster in mixed precision.

    It also does on a CPU with AVX512-BF16 alone. There smaller models, with their smaller matrices, gain nothing.
    """
    return bf16_is_native() or (not torch.cuda.is_available() and torch.cpu._is_avx512_bf16_supported())


def autocast(bf16: bool | None) -> torch.autocast:
    """Mixed precision as `TrainConfig.bf16` says; weights and optimizer stay in float32."""
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=bf16_is_native() if bf16 is None else bf16)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch draws (initial weights, dropout) from `seed`. Afterwards its generators are as they were before."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _mix(seed: int, epoch: int) -> int:
    """One 63-bit seed from two numbers, so that (seed 0, epoch 1) and (seed 1, epoch 0) differ."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8]) >> 1
