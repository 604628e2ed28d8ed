"""What a call of the prompt costs the app, where this run paid otherwise."""

import asyncio
from types import SimpleNamespace

import pytest

from stillhouse.evaluation.harness import time_single
from stillhouse.llm.prices import Price
from stillhouse.records import Example, Prediction, Usage
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.verdict.money.call_costs import row_usd, seconds_per_call

ROW = SimpleNamespace(id="r", cost_usd=0.001)
PROMPT, FEW_SHOT = SimpleNamespace(kind="prompt"), SimpleNamespace(kind="few-shot")


def material(batched, price=Price(2.0, 8.0, "a test's"), usage=Usage(600, 100)):  # noqa: B008
    report = SimpleNamespace(batched=batched, price=price)
    return SimpleNamespace(teacher=SimpleNamespace(report=report, by_id={"r": Prediction("yes", usage=usage)}))


def test_an_answer_from_a_batch_is_priced_again_as_the_apps_own_call():
    assert row_usd(material(0), PROMPT, ROW) == 0.001
    assert row_usd(material(3), PROMPT, ROW) == pytest.approx((600 * 2.0 + 100 * 8.0) / 1e6)
    assert row_usd(material(3), FEW_SHOT, ROW) == 0.001  # asked live
    assert row_usd(material(3, price=None), PROMPT, ROW) is None
    assert row_usd(material(3, usage=None), PROMPT, ROW) is None


def student(took, busy):
    return MeasuredArm(name="s", kind="student", test=[], latencies_s=took, busy_s=busy)


def test_a_call_costs_the_time_that_it_keeps_the_machine_busy_and_not_what_it_waited():
    """The machine did other work while the first call ran; the second ran on two cores at once."""
    assert seconds_per_call(student([0.10, 0.02], [0.03, 0.04])) == pytest.approx((0.03 + 0.02) / 2)
    assert seconds_per_call(student([0.10, 0.02], None)) == pytest.approx(0.06)  # of a run that did not measure it
    assert seconds_per_call(student(None, None)) is None


def test_a_call_that_waits_takes_long_and_keeps_nothing_busy():
    class Waiting:
        name = "waiting"

        async def predict(self, inputs):
            await asyncio.sleep(0.02)
            return [Prediction("x")]

    calls = asyncio.run(time_single(Waiting(), [Example(str(n), "row") for n in range(8)], n=5))
    assert len(calls.took) == len(calls.busy) == 5
    assert sum(calls.busy) < sum(calls.took)
