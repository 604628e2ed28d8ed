"""What bench/cascade.py counts, on a pool small enough to count by hand."""

import numpy as np
import pytest
from bench.cascade import Pool, ours, summary, usual

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
    assert summary(entries, 0.02) == {
        "one batch: share kept": 0.4,
        "one batch: misses": 0.5,
        "from now on: share kept": 0.5,
        "from now on: misses": 0.5,
        "labels, mean": 100,
    }
