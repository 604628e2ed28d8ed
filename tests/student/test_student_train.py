"""The training loop: what it promises about batches, schedules, stopping, and resuming."""

import json
import math
import os
import re
import resource
import shutil
import signal
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from stillhouse.errors import StillhouseError, StorageError, UserError
from stillhouse.records import Example
from stillhouse.stopping import stopping
from stillhouse.student.checkpoint import CHECKPOINT, State, resume, save_tensors
from stillhouse.student.config import TrainConfig
from stillhouse.student.job import TrainJob
from stillhouse.student.train import (
    bf16_is_native,
    epoch_batches,
    fit,
    learning_rate_at,
    nothing_learned,
    seeded,
    validation_steps,
)
from stillhouse.task import Task


class Toy:
    """Learn y = 2 a - b from 40 rows, through dropout, so that the random numbers of every step matter."""

    def __init__(self, scores=None):
        with seeded(7):
            self.module = nn.Sequential(
                nn.Linear(2, 16), nn.LayerNorm(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1)
            )
            self.x = torch.randn(40, 2)
        self.y = 2 * self.x[:, :1] - self.x[:, 1:]
        self.scores = iter(scores) if scores is not None else None
        self.modes = []

    def lengths(self):
        return [1 + i % 20 for i in range(40)]

    def batch(self, indices):
        return {"x": self.x[list(indices)], "y": self.y[list(indices)]}

    def loss(self, batch):
        self.modes.append(self.module.training)
        error = self.module(batch["x"]) - batch["y"]
        return (error**2).sum(), len(error)

    def validate(self):
        assert not self.module.training
        if self.scores is not None:
            return next(self.scores)
        return -((self.module(self.x) - self.y) ** 2).mean().item()


def weights(toy):
    return {name: tensor.clone() for name, tensor in toy.module.state_dict().items()}


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


CONFIG = TrainConfig(epochs=4, learning_rate=1e-2, tokens_per_batch=64, bf16=False)


class Killed(Exception):
    pass


def kill_at(step):
    def on_progress(progress):
        if progress.done == step:
            raise Killed

    return on_progress


# Batches


def test_an_epoch_holds_every_row_once_and_no_batch_is_over_budget():
    widths = [8, 16, 8, 24, 8, 16, 8]
    batches = epoch_batches(widths, 32, seed=0, epoch=0)
    assert sorted(row for batch in batches for row in batch) == list(range(7))
    assert all(len(batch) * max(widths[row] for row in batch) <= 32 for batch in batches)


def test_a_row_over_budget_is_a_batch_of_its_own():
    assert sorted(map(sorted, epoch_batches([100, 8, 8], 32, seed=0, epoch=0))) == [[0], [1, 2]]


def test_epochs_differ_in_order_but_not_in_number_of_batches():
    widths = [8 * (1 + i % 5) for i in range(200)]
    epochs = [epoch_batches(widths, 128, seed=1, epoch=epoch) for epoch in range(5)]
    assert len({len(epoch) for epoch in epochs}) == 1
    assert all(first != second for first, second in pairwise(epochs))
    assert epochs[3] == epoch_batches(widths, 128, seed=1, epoch=3)
    assert epochs[1] != epoch_batches(widths, 128, seed=0, epoch=1)


# Schedule


def test_the_learning_rate_warms_up_and_falls_to_nothing():
    config = TrainConfig(learning_rate=1.0, warmup=0.2, schedule="linear")
    assert [round(learning_rate_at(step, 10, config), 3) for step in range(10)] == [
        0.5,
        1.0,
        1.0,
        0.875,
        0.75,
        0.625,
        0.5,
        0.375,
        0.25,
        0.125,
    ]
    cosine = TrainConfig(learning_rate=1.0, warmup=0.0, schedule="cosine")
    assert [round(learning_rate_at(step, 4, cosine), 3) for step in range(4)] == [1.0, 0.854, 0.5, 0.146]


def test_validations_are_even_end_with_the_run_and_are_capped():
    assert validation_steps(30, 10, TrainConfig()) == {10, 20, 30}
    assert validation_steps(25, 10, TrainConfig(validations_per_epoch=0.1)) == {25}
    assert validation_steps(1, 10, TrainConfig()) == {1}
    assert validation_steps(100, 1, TrainConfig(max_validations=4)) == {25, 50, 75, 100}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("learning_rate", -1.0),
        ("warmup", 1.0),
        ("schedule", "stairs"),
        ("tokens_per_batch", 0),
        ("clip", math.nan),
    ],
)
def test_settings_that_cannot_train_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=name):
        TrainConfig(**{name: value})


# Training


@pytest.mark.slow
def test_it_learns_and_leaves_the_process_random_numbers_alone(tmp_path):
    toy = Toy()
    toy.module.eval()
    before = toy.validate()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    result = fit(
        toy, TrainConfig(epochs=30, learning_rate=1e-2, tokens_per_batch=64, bf16=False), seed=0, folder=tmp_path
    )
    assert torch.rand(1) == expected
    assert result.best_validation > before / 10
    assert all(toy.modes) and not toy.module.training


def test_min_steps_lengthens_a_short_run(tmp_path):
    result = fit(Toy(), TrainConfig(epochs=1, min_steps=25, tokens_per_batch=10_000), seed=0, folder=tmp_path)
    assert (result.steps, result.epochs) == (25, 25.0)


def test_the_best_weights_are_kept_not_the_last(tmp_path):
    toy, seen = Toy(scores=[0.1, 0.9, 0.3, 0.2]), {}
    steps_per_epoch = len(epoch_batches([-(-length // 8) * 8 for length in toy.lengths()], 64, seed=0, epoch=0))

    def on_progress(progress):
        if progress.done == 2 * steps_per_epoch:
            seen.update(weights(toy))

    result = fit(toy, CONFIG, seed=0, folder=tmp_path, on_progress=on_progress)
    assert (result.best_validation, result.best_step, result.stopped_early) == (0.9, 2 * steps_per_epoch, False)
    assert same(seen, weights(toy))


def test_of_equal_scores_the_later_weights_are_kept(tmp_path):
    result = fit(Toy(scores=[0.5, 0.5, 0.5, 0.4]), CONFIG, seed=0, folder=tmp_path)
    assert [score for _, score in result.validations] == [0.5, 0.5, 0.5, 0.4]
    assert result.best_step == result.validations[2][0]


def test_it_stops_after_patience_validations_without_gain(tmp_path):
    config = TrainConfig(epochs=6, tokens_per_batch=64, patience=2)
    result = fit(Toy(scores=[0.5, 0.6, 0.6, 0.5]), config, seed=0, folder=tmp_path)
    assert result.stopped_early and len(result.validations) == 4


def test_where_nothing_is_learned_it_stops_and_its_checkpoint_goes_on(tmp_path):
    told = []
    result = fit(
        Toy(scores=[0.0] * 4), CONFIG, seed=0, folder=tmp_path, gives_up=True, on_progress=lambda p: told.append(p.done)
    )
    assert result.gave_up and result.stopped_early and len(result.validations) == 2
    went_on, whole = Toy(scores=[0.0] * 2), Toy(scores=[0.0] * 4)
    again = fit(went_on, CONFIG, seed=0, folder=tmp_path)
    assert (again.resumed_at, again.gave_up) == (told[-1], False) and again.steps > told[-1]
    fit(whole, CONFIG, seed=0, folder=tmp_path / "whole")
    assert same(weights(went_on), weights(whole))


@pytest.mark.parametrize(
    ("scores", "gives_up"),
    [([0.0, 0.0, 0.0, 0.0], False), ([0.0, 0.1, 0.0, 0.0], True), ([0.1, 0.0, 0.0, 0.0], True)],
)
def test_it_goes_on_where_something_was_learned_or_it_is_told_to(tmp_path, scores, gives_up):
    result = fit(Toy(scores=scores), CONFIG, seed=0, folder=tmp_path, gives_up=gives_up)
    assert not result.gave_up and len(result.validations) == 4


def test_it_does_not_give_up_before_the_half_or_by_one_validation():
    assert not nothing_learned([(10, 0.0), (20, 0.0)], 41)
    assert nothing_learned([(10, 0.0), (20, 0.0)], 40)
    assert not nothing_learned([(20, 0.0)], 40)


def test_weight_decay_spares_vectors_and_frozen_weights_stay(tmp_path):
    toy = Toy()
    toy.module[0].weight.requires_grad_(False)
    frozen = toy.module[0].weight.clone()
    toy.loss = lambda batch: (
        sum(parameter.sum() for parameter in toy.module.parameters()) * 0.0,
        1,
    )  # only decay can move anything
    before = weights(toy)
    fit(toy, TrainConfig(epochs=2, learning_rate=0.1, weight_decay=0.5, tokens_per_batch=64), seed=0, folder=tmp_path)
    after = weights(toy)
    assert torch.equal(after["0.weight"], frozen)
    assert torch.equal(after["1.weight"], before["1.weight"]) and torch.equal(after["4.bias"], before["4.bias"])
    assert after["4.weight"].norm() < before["4.weight"].norm()


def test_a_loss_that_is_no_number_stops_with_a_remedy(tmp_path):
    toy = Toy()
    toy.loss = lambda batch: (toy.module(batch["x"]).sum() * float("nan"), 1)
    with pytest.raises(StillhouseError, match=r"step 1: the loss is nan; use a learning rate below 0\.01"):
        fit(toy, CONFIG, seed=0, folder=tmp_path)


def test_bfloat16_trains_float32_weights(tmp_path):
    toy = Toy()
    result = fit(
        toy, TrainConfig(epochs=20, learning_rate=1e-2, tokens_per_batch=64, bf16=True), seed=0, folder=tmp_path
    )
    assert math.isfinite(result.best_validation)
    assert {tensor.dtype for tensor in toy.module.parameters()} == {torch.float32}


def test_native_bfloat16_is_a_yes_or_no_here():
    assert isinstance(bf16_is_native(), bool)


# Kill and resume


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 9, 14])
def test_a_killed_run_that_is_resumed_equals_an_uninterrupted_one_bit_for_bit(tmp_path, step):
    often = TrainConfig(epochs=4, learning_rate=1e-2, tokens_per_batch=64, bf16=False, checkpoint_every_s=0)
    whole = Toy()
    expected = fit(whole, often, seed=5, folder=tmp_path / "whole")

    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        fit(Toy(), often, seed=5, folder=folder, on_progress=kill_at(step + 1))
    resumed = Toy()
    result = fit(resumed, often, seed=5, folder=folder)

    assert result.resumed_at == step
    assert same(weights(whole), weights(resumed))
    assert (result.best_validation, result.best_step, result.validations) == (
        expected.best_validation,
        expected.best_step,
        expected.validations,
    )


def test_a_training_that_is_told_to_stop_ends_its_step_keeps_it_and_says_so(tmp_path):
    whole, resumed = Toy(), Toy()
    fit(whole, CONFIG, seed=5, folder=tmp_path / "whole")

    def stop(progress):
        if progress.done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with stopping.heard():
        with pytest.raises(KeyboardInterrupt):
            fit(Toy(), CONFIG, seed=5, folder=tmp_path / "stopped", on_progress=stop)
        told = stopping.sentence()
    assert re.fullmatch(
        "stopped by SIGTERM: no call was in flight, so nothing is paid for twice; "
        r"the training is kept up to step 3 of \d+, its last checkpoint",
        told,
    )
    assert fit(resumed, CONFIG, seed=5, folder=tmp_path / "stopped").resumed_at == 3
    assert same(weights(whole), weights(resumed))


def test_a_killed_run_goes_on_from_its_last_checkpoint_by_the_clock(tmp_path):
    now = [0.0]

    def on_progress(progress):
        now[0] += 10.0  # every step takes ten seconds
        if progress.done == 8:
            raise Killed

    config = TrainConfig(epochs=4, tokens_per_batch=64, bf16=False, checkpoint_every_s=25.0)
    with pytest.raises(Killed):
        fit(Toy(), config, seed=0, folder=tmp_path, on_progress=on_progress, clock=lambda: now[0])
    result = fit(Toy(), config, seed=0, folder=tmp_path, clock=lambda: 1000.0)
    assert result.resumed_at == 6
    assert result.wall_s == 60.0  # of the first sitting, up to the checkpoint


def test_another_seed_is_another_run(tmp_path):
    first, second, third = Toy(), Toy(), Toy()
    fit(first, CONFIG, seed=0, folder=tmp_path)
    fit(second, CONFIG, seed=0, folder=tmp_path)
    fit(third, CONFIG, seed=1, folder=tmp_path)
    assert same(weights(first), weights(second)) and not same(weights(first), weights(third))


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def emptied(path):
    path.write_bytes(b"")


def torn(path):
    path.write_bytes(b"torn")


def a_folder(path):
    path.unlink()
    path.mkdir()


def rewritten(change=lambda tensors: None, **state):
    """The file with other tensors or another state, checksummed by nobody."""

    def apply(path):
        tensors, metadata = load_file(path), safe_open(path, "pt").metadata()
        change(tensors)
        save_file(tensors, path, {"state": json.dumps(json.loads(metadata["state"]) | state)})

    return apply


def without(key):
    return rewritten(lambda tensors: tensors.pop(key))


def other(key, value):
    return rewritten(lambda tensors: tensors.update({key: value}))


DAMAGES = {
    "torn": torn,
    "emptied": emptied,
    "cut": cut,
    "a folder": a_folder,
    "no state": lambda path: save_file(load_file(path), path),
    "a state of another version": rewritten(more=1),
    "a step of zero": rewritten(step=0),
    "a step beyond the end": rewritten(step=10**6),
    "a step as a text": rewritten(step="9"),
    "a step as true": rewritten(step=True),
    "no wall time": rewritten(wall_s=None),
    "validations of a text": rewritten(validations="good"),
    "a weight missing": without("weights/0.weight"),
    "a best weight missing": without("best/0.weight"),
    "a moment missing": without("optimizer/0.weight/exp_avg"),
    "no random numbers": without("random/cpu"),
    "random numbers of another size": other("random/cpu", torch.zeros(3, dtype=torch.uint8)),
    "random numbers emptied": other("random/cpu", torch.zeros(5056, dtype=torch.uint8)),
    "a weight of another shape": other("weights/0.weight", torch.zeros(1)),
    "a weight of doubles": other("weights/0.weight", torch.zeros(16, 2, dtype=torch.float64)),
    "a weight that is no number": other("weights/0.weight", torch.full((16, 2), math.nan)),
    "one tensor more": other("weights/9.weight", torch.zeros(1)),
}


OFTEN = TrainConfig(epochs=4, learning_rate=1e-2, tokens_per_batch=64, bf16=False, checkpoint_every_s=0)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a training that was killed at step 15, after its first validations."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Killed):
        fit(Toy(), OFTEN, seed=5, folder=folder, on_progress=kill_at(15))
    return folder


def said_of(caplog):
    (said,) = [record.getMessage() for record in caplog.records]
    assert f"{CHECKPOINT}: the checkpoint is damaged (" in said and "): training starts again" in said
    assert "\n" not in said
    return said


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_nothing_of_a_damaged_checkpoint_is_used(stopped, tmp_path, caplog, damage):
    path = tmp_path / CHECKPOINT
    shutil.copy(stopped / CHECKPOINT, path)
    damage(path)
    toy, before = Toy(), weights(Toy())
    optimizer, numbers = torch.optim.AdamW(toy.module.parameters()), torch.get_rng_state()
    assert resume(path, toy.module, optimizer, total=20) == (State(), {})
    assert same(weights(toy), before) and not optimizer.state and torch.equal(torch.get_rng_state(), numbers)
    said_of(caplog)
    assert not path.exists() and path.with_name(f"{CHECKPOINT}.damaged").exists()


def test_a_whole_checkpoint_is_used(stopped):
    toy = Toy()
    optimizer = torch.optim.AdamW(toy.module.parameters())
    with seeded(0):
        assert resume(stopped / CHECKPOINT, toy.module, optimizer, total=20)[0].step == 14
    assert not same(weights(toy), weights(Toy())) and len(optimizer.state) == 6


def test_a_training_with_a_damaged_checkpoint_starts_again_and_says_so(stopped, tmp_path, caplog):
    shutil.copy(stopped / CHECKPOINT, tmp_path / CHECKPOINT)
    cut(tmp_path / CHECKPOINT)
    whole, again = Toy(), Toy()
    fit(whole, OFTEN, seed=5, folder=tmp_path / "whole")
    result = fit(again, OFTEN, seed=5, folder=tmp_path)
    assert result.resumed_at is None and same(weights(whole), weights(again))
    said_of(caplog)


def test_a_disk_that_takes_no_more_is_a_storage_error_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"a": torch.zeros(4)})
    old = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # as a full disk does, the kernel refuses the write
    try:
        with pytest.raises(StorageError, match=r"weights\.safetensors: cannot write"):
            save_tensors(path, {"a": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == old and [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("config", "digest"),
    [(TrainConfig(epochs=2, patience=1), "26ca76e43f3d"), (None, "8ff6dbf57ce1")],
)
def test_the_checkpoint_of_a_job_lies_where_the_last_version_wrote_it(tmp_path, config, digest):
    """Change these only when the same rows and settings train to other weights than in the last version."""
    task = Task(name="mood", instruction="Is it good or bad?", output="choice", labels=("good", "bad"))
    rows = [
        Example("1", "a lovely day", label="good"),
        Example("2", {"title": "rain", "n": 3}, label="bad", group="g"),
    ]
    job = TrainJob(
        out=tmp_path / "mood",
        spec="encoder:minilm",
        task=task,
        labels=task.labels,
        train=rows,
        validation=rows[:1],
        source="gold",
        seed=3,
        config=config,
    )
    assert job.checkpoints == tmp_path / f".mood.checkpoint-{digest}"
    for other in (replace(job, seed=4), replace(job, train=rows[::-1]), replace(job, spec="encoder:scratch:tiny")):
        assert other.checkpoints != job.checkpoints
