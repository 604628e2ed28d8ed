"""Greedy decoding with a key-value cache, for both kinds of model, and every token's log-probability.

Transformers' `generate` is not used: for a student of a few million parameters, its own work takes longer than the
model's layers do.
"""

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache


@dataclass(frozen=True)
class Decoded:
    """One answer in token numbers."""

    tokens: list[int]  # the answer's tokens, without the end token
    logprobs: list[float]  # log-probability of each token, and of the end token where the answer ended
    ended: bool  # False: the answer was cut at the limit


def greedy(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    pad: int,
    end: int,
    most: int,
    turns: AbstractContextManager[None] | None = None,
) -> list[Decoded]:
    """Append the likeliest next token to every prompt, until each has written `end` or `most` tokens.

    `turns`: taken for each pass of the model, so that others have theirs in between.
    """
    greedy_here = _greedy_encoder_decoder if model.config.is_encoder_decoder else _greedy_decoder_only
    return greedy_here(model, prompts, pad=pad, end=end, most=most, turns=turns or contextlib.nullcontext())


def _greedy_encoder_decoder(
    model: Any, prompts: Sequence[Sequence[int]], *, pad: int, end: int, most: int, turns: AbstractContextManager[None]
) -> list[Decoded]:
    ids, mask = padded(prompts, pad, model.device)
    with turns:
        encoded = model.get_encoder()(input_ids=ids, attention_mask=mask)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    start = torch.full((len(prompts), 1), model.config.decoder_start_token_id, device=model.device)

    def step(tokens: Tensor) -> Tensor:
        out = model(
            input_ids=ids,
            encoder_outputs=encoded,
            attention_mask=mask,
            decoder_input_ids=tokens,
            past_key_values=cache,
            use_cache=True,
        )
        return out.logits[:, -1]  # type: ignore[no-any-return]

    return _run(step, start, end, most, turns)


def _greedy_decoder_only(
    model: Any, prompts: Sequence[Sequence[int]], *, pad: int, end: int, most: int, turns: AbstractContextManager[None]
) -> list[Decoded]:
    ids, mask = padded(prompts, pad, model.device, left=True)  # padded on the left: each row ends in its newest token
    cache = DynamicCache()
    seen = [mask]

    def step(tokens: Tensor) -> Tensor:
        if cache.get_seq_length():
            seen[0] = torch.cat([seen[0], torch.ones_like(tokens)], dim=1)
        positions = (seen[0].cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        out = model(
            input_ids=tokens, attention_mask=seen[0], position_ids=positions, past_key_values=cache, use_cache=True
        )
        return out.logits[:, -1]  # type: ignore[no-any-return]

    return _run(step, ids, end, most, turns)


def _run(step: Any, tokens: Tensor, end: int, most: int, turns: AbstractContextManager[None]) -> list[Decoded]:
    chosen, logprobs = [], []
    alive = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
    for _ in range(most):
        with turns:
            likelihood = torch.log_softmax(step(tokens).float(), dim=-1)  # (batch, vocabulary)
        best = likelihood.max(dim=-1)
        chosen.append(best.indices)
        logprobs.append(best.values)
        alive &= best.indices != end
        if not alive.any():
            break
        tokens = best.indices.unsqueeze(1)
    of_rows = zip(torch.stack(chosen, 1).tolist(), torch.stack(logprobs, 1).tolist(), strict=True)
    return [_cut(row, values, end) for row, values in of_rows]


def _cut(tokens: list[int], logprobs: list[float], end: int) -> Decoded:
    if end in tokens:
        at = tokens.index(end)
        return Decoded(tokens[:at], logprobs[: at + 1], True)
    return Decoded(tokens, logprobs, False)


def padded(rows: Sequence[Sequence[int]], pad: int, device: Any, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Token numbers, and a mask that is 1 where they are not padding; both (rows, longest)."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for at, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[at, place] = torch.tensor(row, dtype=torch.long)
        mask[at, place] = 1
    return ids.to(device), mask.to(device)
