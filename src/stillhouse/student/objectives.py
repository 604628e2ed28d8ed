"""Objectives: pure functions from logits and targets to (sum of losses, number of terms).

The training loop divides the sum by the number, so padding changes nothing in a batch's loss.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100  # the target of a position that carries no loss: padding, and the prompt of a decoder-only model


def sft(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, int]:
    """Supervised finetuning: cross-entropy on the target tokens alone.

    `logits` (batch, seq, vocab) and `targets` (batch, seq): `logits[:, t]` predicts `targets[:, t]`, so the caller
    of a decoder-only model shifts the targets by one. A target of IGNORE carries no loss.
    """
    summed = F.cross_entropy(
        logits.flatten(0, 1).float(),
        targets.flatten(),
        ignore_index=IGNORE,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return summed, int((targets != IGNORE).sum())


def step_by_step(
    logits: Tensor, targets: Tensor, explains: Tensor, *, alpha: float, label_smoothing: float = 0.0
) -> tuple[Tensor, int]:
    """Distilling step-by-step: alpha * label loss + (1 - alpha) * rationale loss.

    Hsieh et al. 2023 (2305.02301, section 3.2). The batch holds both tasks. An input under `predict:` has the label
    as its target, the same input under `explain:` has the rationale. `explains`, (batch,) bool, says which is
    which. A row without a rationale has no `explain:` twin, and the label's weight stays alpha.

    Each loss is a mean over its own tokens. In a mean over all tokens the long rationales would outweigh the labels.
    """
    label_sum, label_tokens = sft(logits[~explains], targets[~explains], label_smoothing=label_smoothing)
    rationale_sum, rationale_tokens = sft(logits[explains], targets[explains], label_smoothing=label_smoothing)
    terms = max(label_tokens, 1)
    mixed = alpha * label_sum / terms + (1 - alpha) * rationale_sum / max(rationale_tokens, 1)
    return mixed * terms, terms


def classification(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, int]:
    """Cross-entropy over fixed labels. `logits` (batch, labels), `targets` (batch,) class numbers."""
    return F.cross_entropy(logits.float(), targets, reduction="sum", label_smoothing=label_smoothing), len(targets)


def soft_targets(logits: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Kullback-Leibler divergence of the student's softmax from the teacher's distribution, at temperature 1.

    Hinton et al. 2015 (1503.02531). `logits` and `targets` are (rows, answers), and each row of `targets` sums to
    1. The loss is 0 where the student gives the teacher's own probabilities. Where the teacher is certain, it is
    the cross-entropy. An answer that the teacher gives 0 has no term of its own, so logits padded with -inf are
    ignored.
    """
    log_q = F.log_softmax(logits.float(), dim=-1).masked_fill(targets == 0, 0.0)
    return (torch.xlogy(targets, targets) - targets * log_q).sum(), len(targets)


def choice(scores: Tensor, n_choices: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Cross-entropy over each row's own choices.

    `scores` (sum of n_choices,) has one number per (input, choice) pair, row after row; `n_choices` is (rows,).
    `targets` (rows,) is the right choice's number in its row.
    """
    return F.cross_entropy(by_row(scores, n_choices).float(), targets, reduction="sum"), len(targets)


def by_row(scores: Tensor, n_choices: Tensor) -> Tensor:
    """Flat pair scores as (rows, most choices). A row with fewer choices is padded with -inf: 0 after a softmax."""
    rows = list(torch.split(scores, n_choices.tolist()))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=float("-inf"))
