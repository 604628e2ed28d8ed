"""The money of a run, from the task file to the result and the page; and what a user gets wrong there."""

import json

import pytest

from mood_task import MOOD
from stillhouse.report.result_page import render
from stillhouse.results.run_result import load_result

TASK = (
    MOOD
    + """test = "test.jsonl"

[teacher]
model = "recorded:teacher.jsonl"
{prices}

[gate]
margin = 0.3

[money]
{money}
"""
)
PRICES = "price_in = 2.0\nprice_out = 8.0\nprice_cached = 0.5\nprice_written = 2.5"
MONEY = "calls_per_day = 20000\nmachine_usd_per_hour = 0.10\nlabel_usd = 0.05"
USAGE = {
    "input_tokens": 1000,
    "output_tokens": 100,
    "cached_input_tokens": 600,
    "written_input_tokens": 200,
    "reasoning_tokens": 80,
}
LABELS = (200 + 80) * 0.05  # training, validation and calibration rows are 200, test rows 80
PER_CALL = (200 * 2.0 + 600 * 0.5 + 200 * 2.5 + 100 * 8.0) / 1e6
WORDS = {"good": ("lovely", "bright", "warm", "kind"), "bad": ("awful", "grim", "cold", "rude")}


def rows(n, what):
    return [
        {"id": f"{what}{i}", "input": f"{what} {i} {WORDS[label][i % 4]}", "label": label}
        for i in range(n)
        for label in (("good", "bad")[i % 2],)
    ]


@pytest.fixture
def project(tmp_path):
    def make(money=MONEY, prices=PRICES, usage=USAGE, wrong=2):
        folder = tmp_path / "mood"
        folder.mkdir(exist_ok=True)
        (folder / "task.toml").write_text(TASK.format(money=money, prices=prices))
        train, test = rows(200, "day"), rows(80, "night")
        for name, part in (("rows", train), ("test", test)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
        said = [{"id": row["id"], "teacher_label": row["label"], "usage": usage} for row in train + test]
        for row in said[200 : 200 + wrong]:
            row["teacher_label"] = "bad" if row["teacher_label"] == "good" else "good"
        (folder / "teacher.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
        return folder

    return make


@pytest.fixture
def money_of(project, stillhouse, tmp_path):
    def run(**settings):
        found = stillhouse("distill", project(**settings), "--runs", tmp_path / "runs", "--json")
        assert found.code in (0, 1), found.err
        latest = max((tmp_path / "runs").iterdir(), key=lambda folder: int(folder.name.rpartition("-")[2]))
        return load_result(latest)

    return run


def lines(result):
    return {line.name: line for line in result.money.lines}


def test_a_run_with_prices_says_calls_day_and_worth(money_of):
    result = money_of()
    money = result.money
    prompt, student = lines(result)["prompt"], lines(result)["linear on gold labels"]
    assert prompt.usd_per_call == pytest.approx(PER_CALL)
    assert student.usd_per_call == pytest.approx(24 * 0.10 / 20_000)  # one machine, which is paid for all day
    assert student.fixed_usd == pytest.approx(LABELS, abs=0.01)  # and a second or so of training
    [even] = [even for even in money.break_even if even.arm == "linear on gold labels"]
    assert even.calls == pytest.approx(student.fixed_usd / (PER_CALL - 0.00012))
    assert even.day and even.pays_off
    assert [(part.what, part.tokens) for part in money.call_parts] == [
        ("input", 200.0),
        ("input from the cache", 600.0),
        ("input written to the cache", 200.0),
        ("output", 20.0),
        ("output, reasoning", 80.0),
    ]
    assert sum(part.usd_per_1000 for part in money.call_parts) == pytest.approx(1000 * PER_CALL)
    [worth] = [worth for worth in money.worth if worth.arm == "linear on gold labels"]
    assert worth.usd_difference == pytest.approx(student.fixed_usd / (20_000 * 365) + 0.00012 - PER_CALL)
    assert worth.n == 80 and worth.score_difference == pytest.approx(2 / 80)
    assert (
        next(arm for arm in result.arms if arm.name == student.name).cost_note
        == "1 machine at $0.10 an hour for 20,000 calls a day"
    )
    page = render(result)
    assert (
        "When it pays" in page and "Acceptability as a table" in page and worth.sentence in page.replace("&#39;", "'")
    )


def test_retries_batches_tries_seeds_and_retraining_are_counted(money_of):
    more = "retries = 0.1\nbatch_discount = 0.5\ntries = 4\nseeds = 3\nretrain_days = 30\nretrain_labels = 0.5\ntraining_usd_per_hour = 3600"
    result = money_of(money=f"{MONEY}\n{more}")
    assert lines(result)["prompt"].usd_per_call == pytest.approx(PER_CALL * 1.1 * 0.5)
    [training] = [item.usd for item in result.money.one_off if item.what.startswith("training")]
    student = lines(result)["linear on gold labels"]
    assert student.fixed_usd == pytest.approx(training + LABELS)
    assert student.renewal_usd == pytest.approx(training / 4 + LABELS * 0.5)  # what was tried is known by then
    assert student.renewal_calls == 30 * 20_000


def test_a_hosted_finetune_has_prices_of_its_own_and_is_called_not_measured(money_of):
    hosted = 'hosted_model = "openai:ft:gpt-4o-mini-2024-07-18"\nhosted_train_usd_per_m = 3.0\nhosted_epochs = 2\nhosted_retires = 2099-01-01'
    result = money_of(money=f"{MONEY}\n{hosted}")
    line = lines(result)["hosted openai:ft:gpt-4o-mini-2024-07-18"]
    assert line.usd_per_call == pytest.approx((1000 * 0.3 + 100 * 1.2) / 1e6)
    assert line.fixed_usd == pytest.approx(150 * 1100 * 2 * 3.0 / 1e6 + LABELS)
    assert "not measured" in line.note and "2099-01-01" in line.note


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"prices": ""}, "no price is known for prompt"),
        ({"money": "calls_per_day = 20000\nlabel_usd = 0.05"}, "no price is known for linear on gold labels"),
        ({"money": f"{MONEY}\nbatch = true"}, "no price is known for prompt"),
        (
            {"money": "calls_per_day = 20000\nmachine_usd_per_hour = 0.10\nretrain_days = 90"},
            "no price is known for linear on gold labels",
        ),
        (
            {"money": f'{MONEY}\nhosted_model = "openai:no-such-model"'},
            "no price is known for hosted openai:no-such-model",
        ),
        ({"money": f"{MONEY}\nprompt_retires = 2020-01-01"}, "the model of prompt was switched off on 2020-01-01"),
        ({"money": "machine_usd_per_hour = 0.10\nprompt_retires = 2099-01-01"}, "set calls_per_day in [money]"),
    ],
    ids=["prompt", "machine", "batch", "new labels", "hosted", "retired", "no volume"],
)
def test_what_is_not_known_is_unknown_and_never_free(money_of, settings, says):
    result = money_of(**settings)
    found = [even for even in result.money.break_even if says in even.sentence]
    assert found and all(even.calls is None and even.pays_off is None for even in found)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"money": "label_usd = -1"}, ["task.toml", "[money] label_usd = -1", "greater than or equal to 0"]),
        ({"money": "machine_usd_per_hour = nan"}, ["machine_usd_per_hour", "finite"]),
        ({"money": "calls_per_day = inf"}, ["calls_per_day", "finite"]),
        ({"money": "calls_per_day = 0"}, ["calls_per_day = 0", "greater than 0"]),
        ({"money": 'prompt_retires = "soon"'}, ["prompt_retires = 'soon'", "date"]),
        ({"money": "label_cents = 4"}, ["'label_cents'", "label_usd"]),
        ({"prices": "price_in = -2\nprice_out = 8"}, ["price_in = -2"]),
        ({"prices": "price_in = 2.0"}, ["give both --price-in and --price-out"]),
        ({"prices": "price_cached = 2.0"}, ["price_cached", "give price_in and price_out"]),
        ({"usage": {"input_tokens": -5, "output_tokens": 1}}, ["teacher.jsonl:1", "whole numbers"]),
        (
            {"usage": {"input_tokens": 10, "output_tokens": 1, "cached_input_tokens": 11}},
            ["teacher.jsonl:1", "no more than their whole"],
        ),
    ],
)
def test_one_sentence_and_exit_code_two(project, stillhouse, tmp_path, settings, says):
    found = stillhouse("distill", project(**settings), "--runs", tmp_path / "runs")
    assert found.code == 2 and "Traceback" not in found.err
    assert [line.startswith("stillhouse: ") for line in found.err.strip().splitlines()][-1:] == [
        True
    ]  # after the rows for the gate
    assert all(part in found.err for part in says), found.err


@pytest.mark.parametrize(("option", "value"), [("--price-in", "-1"), ("--price-out", "nan")])
def test_a_negative_price_on_the_command_line_is_refused_before_anything_is_asked(
    project, stillhouse, tmp_path, option, value
):
    other = {"--price-in": "--price-out", "--price-out": "--price-in"}[option]
    found = stillhouse("distill", project(prices=""), option, value, other, "1", "--runs", tmp_path / "runs")
    assert found.code == 2 and "is no price" in found.err and value in found.err


def test_a_recorded_cost_below_nothing_is_refused_with_its_row(project, stillhouse, tmp_path):
    folder = project()
    first, *others = (folder / "teacher.jsonl").read_text().splitlines()
    (folder / "teacher.jsonl").write_text("\n".join([json.dumps(json.loads(first) | {"cost_usd": -0.01}), *others]))
    found = stillhouse("distill", folder, "--runs", tmp_path / "runs")
    assert found.code == 2 and "teacher.jsonl:1: cost_usd = -0.01 is not a number of 0 or more" in found.err
