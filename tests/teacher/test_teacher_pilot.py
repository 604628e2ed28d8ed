"""What labelling will cost, told before it is paid: the estimate against scipy, the plain definition and a simulation; and who is asked what."""

import json
import math
import random

import numpy as np
import pytest
from scipy import stats

from mood_task import MOOD
from stillhouse.commands.label import label
from stillhouse.consent import Quote
from stillhouse.errors import BudgetError, TeacherError
from stillhouse.llm.pilot import draw, total_cost
from stillhouse.records import Estimate
from stillhouse.session import Session

TASK = (
    MOOD
    + """
[teacher]
model = "{model}"
price_in = 1.0
price_out = 2.0
"""
)
A_CALL = (20 * 1 + 2 * 2) / 1e6  # US$, of the fake endpoint


def project(folder, model, n):
    (folder / "task.toml").write_text(TASK.format(model=model))
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps({"id": f"r{i}", "input": f"day {i} was good"}) + "\n" for i in range(n))
    )
    return folder


class Says:
    def __init__(self, yes=True):
        self.yes, self.quotes = yes, []

    def before(self, quote):
        self.quotes.append(quote)

    def after(self, quote):
        self.quotes.append(quote)
        if not self.yes:
            raise BudgetError("no")


def test_the_interval_is_students_for_a_mean_with_the_finite_populations_correction():
    costs = [0.01, 0.02, 0.04, 0.03, 0.01]
    found = total_cost(costs, 400)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(costs), scale=stats.sem(costs))
    half = 400 * (high - low) / 2 * math.sqrt(1 - 5 / 400)
    assert (found.value, found.n) == (pytest.approx(400 * 0.022), 5)
    assert (found.low, found.high) == (pytest.approx(8.8 - half), pytest.approx(8.8 + half))


def test_what_is_paid_is_certain_and_of_one_row_there_is_no_interval():
    assert (total_cost([0.1, 0.2], 2).low, total_cost([0.1, 0.2], 2).high) == (pytest.approx(0.3), pytest.approx(0.3))
    assert (total_cost([0.1], 50).value, total_cost([0.1], 50).low) == (pytest.approx(5.0), None)
    assert total_cost([0.001, 0.2], 3).low >= 0.201


@pytest.mark.parametrize(("drawn", "least"), [("normal", 0.935), ("lognormal", 0.89)])
def test_the_interval_covers_the_true_sum(drawn, least):
    """Costs of calls are skewed: at 20 rows the interval then covers some 92 % instead of 95."""
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(1000):
        costs = generator.normal(1.0, 0.2, 300) if drawn == "normal" else generator.lognormal(0.0, 0.5, 300)
        found = total_cost(list(generator.choice(costs, 20, replace=False)), 300)
        hits += found.low <= costs.sum() <= found.high
    assert hits / 1000 >= least


def test_every_row_is_as_likely_as_any_other_to_be_in_the_pilot():
    generator, counts = random.Random(3), np.zeros(60)
    for _ in range(2000):
        rows = list(range(60))
        generator.shuffle(rows)
        drawn, n = draw(rows, 20)
        assert (len(set(drawn)), n) == (20, 60)
        counts[drawn] += 1
    assert stats.chisquare(counts).pvalue > 0.001
    assert draw([1, 2], 20) == ([1, 2], 2)


async def test_twenty_rows_tell_what_the_rest_will_cost_and_are_not_asked_again(endpoint, tmp_path):
    says = Says()
    report = (await label(project(tmp_path, endpoint.url(), 50), Session(consent=says))).report
    first, told = says.quotes
    assert (first.n, first.cost_usd) == (50, None)
    assert (told.n, told.cost_usd.value, told.cost_usd.n, told.paid_usd) == (
        50,
        pytest.approx(50 * A_CALL),
        20,
        pytest.approx(20 * A_CALL),
    )
    assert (report.labelled, report.from_store, report.cost_usd) == (50, 0, pytest.approx(50 * A_CALL))
    assert endpoint.calls().total() == 50
    assert "50 calls of" in str(told) and "20 rows asked" in str(told)


async def test_no_means_that_no_more_than_the_pilot_is_paid(endpoint, tmp_path):
    with pytest.raises(BudgetError):
        await label(project(tmp_path, endpoint.url(), 50), Session(consent=Says(yes=False)))
    assert endpoint.calls().total() == 20
    says = Says()
    assert (await label(tmp_path, Session(consent=says))).report.from_store == 20
    assert says.quotes[0].n == 30
    assert endpoint.calls().total() == 50


async def test_nobody_is_asked_for_a_pilots_worth_of_rows_nor_for_what_is_paid_already(endpoint, tmp_path):
    says = Says(yes=False)
    await label(project(tmp_path, endpoint.url(), 20), Session(consent=says))
    await label(project(tmp_path, endpoint.url(), 40), Session(consent=says))
    assert says.quotes == []
    assert endpoint.calls().total() == 40


async def test_recorded_and_scripted_teachers_need_no_consent(tmp_path):
    project(tmp_path, "recorded:a.jsonl", 30)
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"id": f"r{i}", "teacher_label": "good"}) + "\n" for i in range(30))
    )
    assert (await label(tmp_path, Session(consent=Says(yes=False)))).report.labelled == 30


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("length", "cut off at max_tokens"), ("nested", "reply is not JSON"), ("400", "refused by the endpoint")],
)
async def test_where_no_answer_of_the_pilot_is_usable_no_more_are_paid_for(endpoint, tmp_path, mode, reason):
    says = Says()
    with pytest.raises(TeacherError, match=rf"none of the 20 rows .* \(20 times: {reason}"):
        await label(project(tmp_path, endpoint.url(mode), 60), Session(consent=says))
    assert (endpoint.calls().total(), len(says.quotes)) == (20, 1)


async def test_the_estimate_says_how_many_answers_were_usable(endpoint, tmp_path):
    project(tmp_path, endpoint.url("some-nonsense"), 60)
    says = Says()
    report = (await label(tmp_path, Session(consent=says))).report
    n_usable = says.quotes[1].usable
    assert 0 < n_usable < 20 and 0 < report.labelled < 60
    assert f"20 rows asked, {n_usable} of them with a usable answer)" in str(says.quotes[1])
    assert "usable" not in str(Quote(60, "m", Estimate(1.0, 20, 0.9, 1.1, 0.95), usable=20))
