"""What an arm costs in a run's result: sums worked out by hand, beside the settings of [money] that they follow from."""

from dataclasses import replace

import pytest
from arms import LINEAR, PROMPT, Arm, Measured, Rows, found

PAID = Arm("prompt", "prompt", usd=0.005)
GOLD = Arm("linear", learns_from="gold", seconds=0.5, training_s=360.0)  # a tenth of an hour
BOTH = [Rows(200, "prompt linear")]
N_LABELS = 1300  # 1,000 training rows, 100 validation rows, 200 test rows


def money(student=GOLD, prompt=PAID, **settings):
    result = found(Measured([prompt, student], BOTH, money=settings))
    lines = {line.name: line for line in result.money.lines}
    return lines["linear"], lines["prompt"], result.money


@pytest.mark.parametrize(
    ("settings", "usd"),
    [
        ({}, 0.005),
        ({"retries": 0.5}, 0.0075),
        ({"batch_discount": 0.4}, 0.003),
        ({"retries": 1, "batch_discount": 0.5}, 0.005),
    ],
    ids=["as measured", "every second call again", "a discount of 40 %", "twice as many at half the price"],
)
def test_a_call_of_the_prompt_costs_what_the_app_will_pay(settings, usd):
    assert money(**settings)[1].usd_per_call == pytest.approx(usd)


def test_training_costs_every_try_with_every_seed_and_training_again_the_seeds_alone():
    settings = {"training_usd_per_hour": 10.0, "tries": 3, "seeds": 2, "retrain_days": 30, "retrain_labels": 0.5}
    student = money(**settings, label_usd=0.01)[0]
    assert student.fixed_usd == pytest.approx(10 * 0.1 * 3 * 2 + 0.01 * N_LABELS)
    assert student.renewal_usd == pytest.approx(10 * 0.1 * 2 + 0.5 * 0.01 * N_LABELS)


def test_gold_labels_count_where_they_have_a_price():
    assert money(training_usd_per_hour=0.0)[0].fixed_usd == 0.0  # they were there
    assert money(training_usd_per_hour=0.0, label_usd=0.01)[0].fixed_usd == pytest.approx(0.01 * N_LABELS)


def test_a_sum_with_an_unknown_part_is_unknown():
    student, prompt, of_all = money(
        prompt=PROMPT, label_usd=0.01
    )  # neither a call of the prompt nor the machine has a price
    assert (student.fixed_usd, student.usd_per_call, prompt.usd_per_call) == (None, None, None)
    assert [even.pays_off for even in of_all.break_even] == [None]


def test_a_machine_that_nobody_priced_leaves_a_students_call_unknown():
    assert money(replace(GOLD, seconds=None), machine_usd_per_hour=3.6)[0].usd_per_call is None
    assert money(machine_usd_per_hour=3.6, utilisation=0.25)[0].usd_per_call == pytest.approx(0.001 * 0.5 / 0.25)
    # 1,000 calls a day keep one machine busy for 500 s; it is paid for day and night.
    assert money(machine_usd_per_hour=3.6, calls_per_day=1000)[0].usd_per_call == pytest.approx(24 * 3.6 / 1000)


def test_what_is_spent_again_on_the_last_day_of_the_horizon_is_not_spent_within_it():
    """30 days, trained again every 10: twice, on days 10 and 20. Labels are all it costs: $13 at first and $13 each time, over 3,000 calls."""
    again = {
        "calls_per_day": 100,
        "horizon_days": 30,
        "retrain_days": 10,
        "machine_usd_per_hour": 0.0,
        "label_usd": 0.01,
    }
    (worth,) = money(**again)[2].worth
    assert worth.usd_difference == pytest.approx(3 * 13 / 3000 - 0.005)


def test_a_cheap_student_of_the_teachers_labels_owes_nothing_for_labels_that_came_with_the_rows():
    assert money(replace(LINEAR, seconds=0.5), training_usd_per_hour=0.0)[0].fixed_usd == 0.0
