"""Objectives: what they learn from, and what they must ignore."""

import math

import pytest
import torch

from stillhouse.student.objectives import IGNORE, by_row, choice, classification, sft, soft_targets, step_by_step


def test_sft_is_the_cross_entropy_of_the_target_tokens():
    logits = torch.log(torch.tensor([[[0.5, 0.5], [0.25, 0.75]]]))  # (1 row, 2 tokens, 2 words)
    summed, count = sft(logits, torch.tensor([[0, 1]]))
    assert summed.item() == pytest.approx(-math.log(0.5) - math.log(0.75))
    assert count == 2


def test_sft_ignores_padding_and_prompt_in_value_and_gradient():
    logits = torch.randn(2, 4, 5, requires_grad=True)
    targets = torch.tensor([[IGNORE, 1, 2, IGNORE], [3, IGNORE, IGNORE, IGNORE]])
    summed, count = sft(logits, targets)
    summed.backward()
    assert count == 3
    assert torch.equal(logits.grad.abs().sum(-1) > 0, targets != IGNORE)
    changed = logits.detach().clone()
    changed[targets == IGNORE] = 99.0
    assert torch.equal(sft(changed, targets)[0], summed.detach())


def test_step_by_step_weighs_the_mean_label_against_the_mean_rationale():
    logits, targets = (
        torch.randn(3, 4, 6),
        torch.tensor([[1, IGNORE, IGNORE, IGNORE], [2, 3, IGNORE, IGNORE], [4, 5, 0, 1]]),
    )
    explains = torch.tensor([False, False, True])
    summed, count = step_by_step(logits, targets, explains, alpha=0.3)
    label, n_label = sft(logits[:2], targets[:2])
    rationale, n_rationale = sft(logits[2:], targets[2:])
    assert (n_label, n_rationale) == (3, 4)
    assert (summed / count).item() == pytest.approx((0.3 * label / 3 + 0.7 * rationale / 4).item())


def test_step_by_step_without_a_rationale_is_alpha_times_the_label_loss():
    logits, targets = torch.randn(2, 3, 4), torch.tensor([[1, 2, IGNORE], [3, IGNORE, IGNORE]])
    summed, count = step_by_step(logits, targets, torch.tensor([False, False]), alpha=0.5)
    label, _ = sft(logits, targets)
    assert (summed / count).item() == pytest.approx((0.5 * label / 3).item())


def test_a_longer_rationale_does_not_drown_the_label():
    label_row, short, long = torch.randn(1, 8, 4), torch.zeros(1, 8, 4), torch.zeros(1, 8, 4)
    label = torch.tensor([[1] + [IGNORE] * 7])
    two, eight = torch.tensor([[1, 1] + [IGNORE] * 6]), torch.tensor([[1] * 8])
    explains = torch.tensor([False, True])
    losses = []
    for rationale, targets in ((short, two), (long, eight)):
        summed, count = step_by_step(
            torch.cat([label_row, rationale]), torch.cat([label, targets]), explains, alpha=0.5
        )
        losses.append((summed / count).item())
    assert losses[0] == pytest.approx(losses[1])


def test_classification_sums_over_rows():
    logits = torch.log(torch.tensor([[0.2, 0.8], [0.5, 0.5]]))
    summed, count = classification(logits, torch.tensor([1, 0]))
    assert summed.item() == pytest.approx(-math.log(0.8) - math.log(0.5))
    assert count == 2


def test_choice_compares_only_choices_of_the_same_row():
    scores = torch.tensor([0.0, math.log(3.0), 1.0, 1.0, 1.0], requires_grad=True)  # a row of two, a row of three
    summed, count = choice(scores, torch.tensor([2, 3]), torch.tensor([1, 0]))
    assert summed.item() == pytest.approx(-math.log(0.75) - math.log(1 / 3))
    assert count == 2
    summed.backward()
    assert torch.isfinite(scores.grad).all()


def test_rows_with_fewer_choices_are_filled_with_minus_infinity():
    assert by_row(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1, 2])).tolist() == [[1.0, -math.inf], [2.0, 3.0]]


def test_soft_targets_are_the_cross_entropy_of_a_certain_row():
    logits = torch.randn(4, 3)
    certain = torch.eye(3)[torch.tensor([0, 2, 1, 1])]
    summed, count = soft_targets(logits, certain)
    assert count == 4
    assert summed.item() == pytest.approx(classification(logits, torch.tensor([0, 2, 1, 1]))[0].item(), rel=1e-5)


def test_soft_targets_pull_towards_the_teachers_distribution_and_rest_when_it_is_met():
    teacher = torch.tensor([[0.7, 0.2, 0.1]])
    met = torch.log(teacher).requires_grad_()
    summed, _ = soft_targets(met, teacher)
    summed.backward()
    assert summed.item() == pytest.approx(0.0, abs=1e-6)
    assert met.grad.abs().max() < 1e-6
    off = torch.zeros(1, 3, requires_grad=True)
    summed, _ = soft_targets(off, teacher)
    summed.backward()
    assert summed.item() == pytest.approx(
        sum(p * math.log(3 * p) for p in (0.7, 0.2, 0.1)), rel=1e-5
    )  # KL from the uniform
    assert off.grad.tolist()[0] == pytest.approx([1 / 3 - 0.7, 1 / 3 - 0.2, 1 / 3 - 0.1], abs=1e-6)


def test_soft_targets_ignore_the_padding_of_rows_with_fewer_choices():
    scores = torch.randn(5, requires_grad=True)
    rows = by_row(scores, torch.tensor([3, 2]))
    targets = torch.tensor([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]])
    summed, _ = soft_targets(rows, targets)
    summed.backward()
    alone = (
        soft_targets(scores[3:].unsqueeze(0), torch.tensor([[0.9, 0.1]]))[0]
        + soft_targets(scores[:3].unsqueeze(0), targets[:1])[0]
    )
    assert summed.item() == pytest.approx(alone.item(), rel=1e-5)
    assert torch.isfinite(scores.grad).all()
