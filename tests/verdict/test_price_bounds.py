"""Where a price is not known, the bound on it is said, of students and of cascades; the sums are worked out by hand."""

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest
from arms import LINEAR, PROMPT, Measured, Rows, _arm, _material, found

from stillhouse.verdict.judged_arm import JudgedArm, judge
from stillhouse.verdict.money.price_bounds import account_of

# The cascade keeps 300 of 400 calls; linear alone fails. 3.6 s a call at a utilisation of a quarter are 0.004 hours of a machine.
TEST = [Rows(300, "prompt linear", sure=0.9), Rows(100, "prompt", sure=0.2)]
CALIBRATION = [Rows(400, "prompt linear", sure=0.9)]
KEPT = " (at the 75.0% of calls that it keeps, n = 400)"
VOLUME = {"calls_per_day": 1200}
NEW_LABELS = VOLUME | {"label_usd": 0.01}  # 1,000 training, 100 validation, 400 test and 400 calibration labels: $19


@pytest.mark.parametrize(
    ("arm", "prompt_usd", "money", "sentence"),
    [
        ("cascade", 0.01, {}, f"cascade pays off if its machine costs under $1.87 an hour{KEPT}"),  # 0.0075 / 0.004 = 1.875
        ("cascade", None, {"machine_usd_per_hour": 1.0}, f"cascade pays off if a call of prompt costs over $0.0053{KEPT}"),  # 0.004 / 0.75
        ("cascade", None, {}, f"cascade pays off if an hour of its machine costs less than 187 calls of prompt{KEPT}"),  # 0.75 / 0.004 = 187.5
        ("linear", None, {}, "linear pays off if an hour of its machine costs less than 250 calls of prompt"),
        ("cascade", 0.01, VOLUME, f"cascade pays off if its machine costs under $0.37 an hour{KEPT}"),  # 1,200 x 0.0075 / 24 = 0.375
        # 12 renewals in a year: (9 x 365 - 13 x 19) / (24 x 365)
        ("cascade", 0.01, NEW_LABELS | {"retrain_days": 30}, f"cascade pays off if its machine costs under $0.35 an hour{KEPT}"),
        # the prompt's model goes after 16 days: (9 x 16 - 19) / (24 x 16)
        ("cascade", 0.01, NEW_LABELS | {"prompt_retires": date(2026, 10, 17)}, f"cascade pays off if its machine costs under $0.33 an hour{KEPT}"),
        ("linear", 0.01, VOLUME | {"label_usd": 10.0}, "linear does not pay off at any price of its machine"),
        ("cascade", None, NEW_LABELS, f"cascade pays off if an hour of its machine and $0.0022 cost less than 38 calls of prompt{KEPT}"),
        ("linear", 0.01, VOLUME | {"least_saving_usd": 2190.0}, "linear pays off if its machine costs under $0.25 an hour"),  # (12 x 365 - 2,190) / 8,760
        ("linear", 0.01, VOLUME | {"retrain_days": 30}, None),  # what new gold labels cost is not known
        ("linear", 0.01, {"machine_usd_per_hour": 1.0}, None),
    ],
)  # fmt: skip
def test_an_unknown_price_is_said_as_a_bound(arm, prompt_usd, money, sentence):
    arms = [replace(PROMPT, usd=prompt_usd), replace(LINEAR, seconds=3.6, learns_from="gold")]
    result = found(Measured(arms, TEST, CALIBRATION, money={"utilisation": 0.25} | money))
    assert {bound.arm: bound.sentence for bound in result.money.bounds}.get(arm) == sentence
    even = next(even.sentence for even in result.money.break_even if even.arm == arm)
    assert sentence is None or even.endswith(sentence)
    assert (sentence is not None and "at any price" in sentence) or result.verdict.kind == "cascade"
    if arm == "cascade" and sentence is not None:
        assert sentence in " ".join(result.verdict.because)


def test_a_teachers_labels_of_unknown_price_count_as_calls_of_the_prompt():
    of_rows = Measured([PROMPT, replace(LINEAR, seconds=3.6)], TEST, CALIBRATION, money=VOLUME | {"utilisation": 0.25})
    material = _material(of_rows)
    answers = {
        row.id: SimpleNamespace(cost_usd=None)
        for part in ("train", "validation")
        for row in getattr(material.splits, part)
    }
    material = replace(material, teacher=SimpleNamespace(by_id=answers, report=None))
    student = _arm(of_rows, of_rows.arms[1])
    judged = judge(replace(material, teacher=None), student, None)
    account = account_of(
        material, JudgedArm(judged.arm, judged.whole, judged.summary), date(2026, 10, 1), prompt_is_priced=False
    )
    assert (account.labels_as_calls, account.prompt_calls) == (1100, 1200 * 365 - 1100)
    assert account_of(material, judged, date(2026, 10, 1), prompt_is_priced=True) is None
