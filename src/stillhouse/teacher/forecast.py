"""What a generation will cost, told after its first round: how many calls the missing rows take, at what price each.

Fewer proposals are kept as rows pile up, since more of them resemble a kept one. How fast is read off the first
round: `near` proposals resembled a row kept before. Two laws are drawn from in equal parts. Where all texts are equally
likely, the share of new ones falls by a factor e for every 1 / hazard rows kept (the coupon collector). Where some are
far likelier than others, kept rows grow as a power of the proposals (Heaps' law). A first round cannot tell one from
the other, so the interval covers both. A generation also ends where hardly anything is new: that bounds the calls.

It is a simulation with a fixed seed: the same round gives the same forecast.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stillhouse.records import Estimate

LEVEL = 0.95
_DRAWS = 2_000
_LOG_MOST = 30.0  # the logarithm of more proposals than anybody asks for


@dataclass(frozen=True)
class CallSeen:
    """One call of the first round: proposals asked for, kept, and dropped for a likeness to a row kept before."""

    asked: int
    kept: int
    near: int
    cost_usd: float | None = None  # None: nothing was paid for it now, or it is not known


@dataclass(frozen=True)
class Forecast:
    """How many calls there will be in all, and what they cost with those that were paid; None: not known."""

    calls: Estimate
    cost_usd: Estimate | None


def forecast(seen: Sequence[CallSeen], n_missing: int, collapsed: float, seed: int = 0) -> Forecast:
    """What it takes to keep `n_missing` more rows, or until a smaller share than `collapsed` of proposals is kept."""
    draw = np.random.default_rng(seed)
    k = len(seen)
    asked = float(np.mean([call.asked for call in seen]))
    kept = np.array([call.kept for call in seen], dtype=float)
    near = np.array([call.near for call in seen], dtype=float)
    before = np.concatenate([[0.0], np.cumsum(kept)[:-1]])
    fresh = kept + near  # what would be kept if nothing resembled a kept row
    pairs = float(np.sum(fresh * (before + kept / 2)))  # proposals times the rows that each was compared with
    # Calls differ: the mean yield of those to come has Student's spread around that of those seen.
    spread = float(np.std(fresh, ddof=1)) if k > 1 else float(np.sqrt(fresh.mean()))
    spread = max(spread, math.sqrt(max(float(fresh.mean()) * (1 - float(fresh.mean()) / asked), 0.25)))
    mean = fresh.mean() + spread / math.sqrt(k) * draw.standard_t(max(1, k - 1), _DRAWS)
    mean = np.clip(mean, 0.02 * asked, asked)
    hazard = draw.gamma(near.sum() + 0.5, 1 / max(pairs, 1.0), _DRAWS)
    done = float(kept.sum())
    calls = np.where(
        np.arange(_DRAWS) % 2 == 0,
        _by_exponential(done, n_missing, mean, hazard, asked, collapsed),
        _by_power(done, n_missing, mean, hazard, float(fresh.sum()), asked, collapsed),
    )
    # The calls to come scatter around their mean as those seen did; and one in which nothing new comes still costs.
    calls = calls + draw.normal(0, 1, _DRAWS) * np.sqrt(np.maximum(calls, 1.0)) * spread / np.maximum(mean, 1.0)
    more = np.maximum(1.0, np.ceil(calls))
    total = Estimate(float(k + np.median(more)), k, *_ends(k + more), LEVEL, "simulated")
    costs = np.array([call.cost_usd for call in seen if call.cost_usd is not None])
    if not len(costs):
        return Forecast(total, None)
    # So many calls of this sitting were paid; the rest of the round came from the store.
    of_one = float(np.std(costs, ddof=1)) if len(costs) > 1 else 0.0
    each = costs.mean() + of_one / math.sqrt(len(costs)) * draw.standard_t(max(1, len(costs) - 1), _DRAWS)
    bill = costs.sum() + more * np.maximum(each, 0.0) + draw.normal(0, 1, _DRAWS) * of_one * np.sqrt(more)
    bill = np.maximum(bill, costs.sum())
    value = float(costs.sum() + np.median(more) * costs.mean())
    return Forecast(total, Estimate(value, len(costs), *_ends(bill), LEVEL, "simulated"))


def _ends(draws: "np.ndarray") -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _by_exponential(
    done: float, missing: float, mean: "np.ndarray", hazard: "np.ndarray", asked: float, collapsed: float
) -> "np.ndarray":
    """Calls where the share of new proposals is exp(-hazard * rows kept)."""
    least = collapsed * asked / mean  # the share of new ones at which it ends
    ends_at = np.where(least < 1, -np.log(np.minimum(least, 1.0)) / hazard, done)
    goal = np.maximum(done, np.minimum(done + missing, ends_at))
    hazard = np.maximum(hazard, 1e-9)
    to_goal, so_far = np.minimum(hazard * goal, _LOG_MOST), np.minimum(hazard * done, _LOG_MOST)
    calls: np.ndarray = (np.exp(to_goal) - np.exp(so_far)) / (hazard * mean)
    return calls


def _by_power(
    done: float, missing: float, mean: "np.ndarray", hazard: "np.ndarray", tried: float, asked: float, collapsed: float
) -> "np.ndarray":
    """Calls where the rows kept grow as a power of the proposals that could be kept."""
    tried = max(tried, 2.0)
    # The power is the share of new ones at the end of the first round over that of the whole round.
    power = np.clip(np.exp(-hazard * done) * tried / max(done, 1.0), 0.1, 1.0)
    factor = max(done, 1.0) / tried**power
    goal = np.log((done + missing) / factor) / power  # logarithms of proposals, for the powers are large
    calls: np.ndarray = (np.exp(np.clip(goal, math.log(tried), _LOG_MOST)) - tried) / mean
    bounded: np.ndarray = np.minimum(calls, missing / (collapsed * asked))  # with more calls than that it has ended
    return bounded
