"""What bench/cascade.py counts, on a pool small enough to count by hand."""

import json
import math

import numpy as np
import pytest
from bench.cascade import ACCOUNTS, HERE, Pool, met, ours, summary, table, usual, with_intervals
from bench.rates import mean_of_shares

from stillhouse.evaluation.proportions import clopper_pearson
from stillhouse.results.row_result import RowResult


def pool(n, harmed):
    """`n` rows, the i-th with confidence 1 - i / n; `harmed` are the numbers of those where the student is wrong and the teacher right."""
    own = [
        RowResult(
            id=str(i),
            group=None,
            gold="x",
            output="y" if i in harmed else "x",
            score=float(i not in harmed),
            confidence=1 - i / n,
        )
        for i in range(n)
    ]
    other = [RowResult(id=str(i), group=None, gold="x", output="x", score=1.0) for i in range(n)]
    return Pool(list(zip(own, other, strict=True))[::-1])  # in any order: the pool sorts


def test_the_usual_threshold_just_meets_the_budget_and_ours_stays_under_a_bound():
    of = pool(200, set(range(100, 200, 10)))  # every tenth of the less sure half is harmed
    chosen = np.arange(200)
    assert usual(of, chosen, 0.02) == pytest.approx(
        1 - 139 / 200
    )  # four harms of 200 are the budget: up to the row before the fifth
    assert ours(of, chosen, 0.02) == pytest.approx(1 - 99 / 200)  # one harm of 200 is too many to prove 2 %
    assert of.kept(None).sum() == 0 and of.kept(0.5).sum() == 101
    assert ours(of, chosen[:100], 0.02) is None  # too few rows


def test_a_miss_is_a_harm_above_the_budget():
    entries = np.array([[0.3, 0.02, 100, 0.4, 0.01], [0.5, 0.021, 100, 0.6, 0.03]])
    found = summary(entries, 0.02)
    assert {key: value for key, value in found.items() if not key.endswith((", low", ", high"))} == {
        "one batch: share kept": 0.4,
        "one batch: misses": 0.5,
        "from now on: share kept": 0.5,
        "from now on: misses": 0.5,
        "labels, mean": 100,
    }
    assert (found["one batch: misses, low"], found["one batch: misses, high"]) == pytest.approx(
        (0.0126, 0.9874), abs=1e-4
    )
    assert found["one batch: share kept, low"] < 0.1 and found["one batch: share kept, high"] > 0.8  # two resplits


def test_the_interval_of_a_mean_share_is_hoeffdings_and_holds_however_the_draws_fall():
    assert mean_of_shares(0.0, 1000) == {"low": 0.0, "high": round(1 - 0.025 ** (1 / 1000), 4)}
    assert mean_of_shares(1.0, 1000) == {"low": round(0.025 ** (1 / 1000), 4), "high": 1.0}
    ends = mean_of_shares(0.2, 1000)
    assert 0.2 - ends["low"] < math.sqrt(math.log(40) / 2000) and ends["low"] < clopper_pearson(200, 1000)[0]
    generator = np.random.default_rng(0)
    for draw in (lambda: generator.random(40) < 0.1, lambda: generator.beta(0.2, 1.8, 40)):
        means = np.array([draw().mean() for _ in range(400)])
        inside = [(found := mean_of_shares(float(mean), 40))["low"] <= 0.1 <= found["high"] for mean in means]
        assert np.mean(inside) >= 0.95


def test_the_claim_against_a_peer_is_of_the_intervals_and_not_of_the_means():
    def of(kept):
        shares = {f"{account}: share kept": kept for account in ACCOUNTS}
        return with_intervals({**shares, **{f"{account}: misses": 0.0 for account in ACCOUNTS}}, 1000)

    claim = "share kept at least BARGAIN's less 5 points"
    assert (
        met(of(0.40), [of(0.36)])[claim] and not met(of(0.40), [of(0.40)])[claim]
    )  # 40 less 4 is not above 40 and 4 less 5
    assert met(of(0.40), [of(0.10), of(0.36)])[claim] and not met(of(0.40), [of(0.10), of(0.40)])[claim]


def test_the_table_of_the_docs_is_that_of_the_recorded_results():
    recorded = json.loads((HERE / "results" / "cascade.json").read_text())
    assert table(recorded) in (HERE.parent / "docs" / "results.md").read_text()
