"""What a call of the prompt costs the app, where this run paid otherwise."""

from types import SimpleNamespace

import pytest

from stillhouse.llm.prices import Price
from stillhouse.records import Prediction, Usage
from stillhouse.verdict.money.call_costs import row_usd

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
