"""Objectives: pure functions from logits and targets to (sum of losses, number of terms).

The loop divides the one by the other, so a batch's loss is a mean over what it learns from, whatever was padded around it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -100  # the target of a position that carries no loss: padding, and the prompt of a decoder-only model


def sft(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, int]:
    """Supervised finetuning: cross-entropy on the target tokens alone.

    `logits[:, t]`, (batch, seq, vocab), predicts `targets[:, t]`, (batch, seq): a decoder-only model's caller shifts by one. IGNORE carries no loss.
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
    """Distilling step-by-step (Hsieh et al. 2023, 2305.02301, section 3.2): alpha * label loss + (1 - alpha) * rationale loss.

    One forward holds both tasks: inputs under `predict:` have the label as target, the same inputs under `explain:` the rationale, and `explains`,
    (batch,) bool, tells them apart. Each loss is a mean over its own tokens, or the long rationales would drown the labels. A row without a rationale
    simply has no `explain:` twin; the label's weight stays alpha.
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
    """Kullback-Leibler divergence of the student's softmax from the teacher's distribution (Hinton et al. 2015, 1503.02531, at temperature 1).

    `logits` and `targets` (rows, answers); each row of `targets` sums to 1, and a certain row's loss is its cross-entropy. An answer of probability 0 carries
    no term of its own, so that padding by -inf is ignored. Zero where the student says what the teacher says.
    """
    log_q = F.log_softmax(logits.float(), dim=-1).masked_fill(targets == 0, 0.0)
    return (torch.xlogy(targets, targets) - targets * log_q).sum(), len(targets)


def choice(scores: Tensor, n_choices: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Cross-entropy over each row's own choices.

    `scores` (sum of n_choices,) one per (input, choice) pair, row after row; `n_choices` (rows,); `targets` (rows,) the right choice's number in its row.
    """
    return F.cross_entropy(by_row(scores, n_choices).float(), targets, reduction="sum"), len(targets)


def by_row(scores: Tensor, n_choices: Tensor) -> Tensor:
    """Flat pair scores as (rows, most choices); a row with fewer choices is filled with -inf, which a softmax turns to 0."""
    rows = list(torch.split(scores, n_choices.tolist()))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=float("-inf"))
