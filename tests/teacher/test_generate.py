"""`stillhouse generate` as a user runs it, against an endpoint in another process that counts what it is asked."""

import itertools
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import pytest

from mood_task import MOOD
from stillhouse.commands.diversity import write_page
from stillhouse.commands.generate import generate
from stillhouse.data.dataset import load_examples
from stillhouse.data.splits import load_splits
from stillhouse.errors import BudgetError, DatasetError, ExistsError, LeakageError, TeacherError, UserError
from stillhouse.experiment.held_out import held_out_of
from stillhouse.experiment.material import prepare
from stillhouse.records import Example
from stillhouse.session import Session
from stillhouse.task import load_task
from stillhouse.teacher.generation import Wanted
from stillhouse.teacher.generation_settings import GenerationSettings
from stillhouse.teacher.held_out import HeldOut
from stillhouse.teacher.inputs import TaskInputs
from stillhouse.teacher.instructions import load_seeds
from stillhouse.teacher.numbered import blocks, fields
from stillhouse.teacher.root_verbs import read_pairs, request_of
from stillhouse.teacher.rules import RULES
from stillhouse.teacher.terms import accept_terms

PRICED = {"price_in": 1.0, "price_out": 2.0}
TASK = (
    MOOD
    + """test = "test.jsonl"
"""
)


def project(folder, train=None):
    """Rows of words that no proposal of the fake has."""
    train = train or [
        {"id": f"r{i}", "input": f"day {i} was {('good', 'awful')[i % 2]} all along", "label": ("good", "bad")[i % 2]}
        for i in range(40)
    ]
    test = [
        {
            "id": f"t{i}",
            "input": f"evening {i} felt {('fine', 'dull')[i % 2]} to everyone there",
            "label": ("good", "bad")[i % 2],
        }
        for i in range(10)
    ]
    (folder / "task.toml").write_text(TASK)
    for name, rows in (("rows", train), ("test", test)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def stillhouse(folder, *arguments, wait=True):
    command = [sys.executable, "-m", "stillhouse", "generate", *map(str, arguments)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=dict(os.environ)
    )
    return (process, *process.communicate()) if wait else process


async def exercises(endpoint, folder, n=60, mode="proposals", on_progress=None, **settings):
    return await generate(
        None,
        Wanted(n),
        Session(teacher=endpoint.url(mode), store=folder / "s.db", settings=settings, on_progress=on_progress),
        seeds="builtin",
        out=folder / "made.jsonl",
    )


async def test_exercises_come_in_both_forms_with_their_origin_and_a_second_run_asks_nothing(endpoint, tmp_path):
    done = await exercises(endpoint, tmp_path, **PRICED)
    report = done.report
    assert (report.kept, report.stopped) == (60, "enough")
    rows = load_examples(done.out).examples
    assert [(row["instruction"], row["output"]) for row in json.loads((tmp_path / "made.alpaca.json").read_text())] == [
        (row.text, row.teacher_label) for row in rows
    ]
    seeds = {seed.id for seed in load_seeds("builtin")[0]}
    for row in rows:
        assert len(set(row.extra["lineage"]["parents"]) & seeds) == 3
        origin = row.extra["provenance"]
        assert set(origin) == {"teacher", "date", "prompt_hash", "parameters", "price_snapshot", "licence"}
        assert origin["parameters"] == {"temperature": 1.0, "top_p": 1.0, "max_tokens": 3072}
        assert "$1 in, $2 out" in origin["price_snapshot"]
    assert len({row.extra["provenance"]["prompt_hash"] for row in rows}) == 1
    calls, before = endpoint.calls().total(), done.out.read_bytes()
    assert report.cost_usd == pytest.approx(calls * (20 * 1 + 2 * 2) / 1e6)
    shown = []
    again = (await exercises(endpoint, tmp_path, on_progress=shown.append, **PRICED)).report
    assert {progress.cost_usd for progress in shown} == {0.0}
    assert (again.from_store, again.cost_usd, again.curve) == (calls, 0, report.curve)
    assert (endpoint.calls().total(), done.out.read_bytes()) == (calls, before)


async def test_few_rows_take_no_more_calls_than_they_need(endpoint, tmp_path):
    report = (await exercises(endpoint, tmp_path, 40)).report
    assert (report.kept, report.calls, endpoint.calls().total()) == (40, 2, 2)


async def test_a_model_that_takes_no_samplers_settings_is_asked_without_and_every_row_and_the_report_say_so(
    endpoint, tmp_path
):
    done = await exercises(endpoint, tmp_path, 40, "no-sampler-proposals")
    again = await exercises(endpoint, tmp_path, 40, "no-sampler-proposals")
    assert {tuple(row["provenance"]["parameters"]["without"]) for row in lines(done.out)} == {("top_p", "temperature")}
    for report in (done.report, again.report):
        assert [told for told in report.warnings if "takes no temperature and no top_p" in told]


async def test_more_rows_cost_the_further_calls_alone(endpoint, tmp_path):
    first = await exercises(endpoint, tmp_path, 100)
    kept = lines(first.out)
    more = await exercises(endpoint, tmp_path, 300)
    assert lines(more.out)[:100] == kept
    assert more.report.from_store == first.report.calls
    assert max(endpoint.calls().values()) == 1


@pytest.mark.slow
def test_killed_at_random_moments_no_finished_call_is_paid_twice(endpoint, tmp_path):
    priced = ("--yes", "--price-in", 1, "--price-out", 2)
    command = (
        "--seeds",
        "builtin",
        "--teacher",
        endpoint.url("proposals-slow"),
        "-n",
        400,
        *priced,
        "--no-report",
        "--json",
    )
    draw, kills = random.Random(3), 0
    for _ in range(3):
        before = endpoint.calls().total()
        process, target = stillhouse(tmp_path, *command, wait=False), before + draw.randint(1, 7)
        while process.poll() is None and endpoint.calls().total() < target:
            time.sleep(0.002)
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate()
    process, out, err = stillhouse(tmp_path, *command)
    assert process.returncode == 0, err
    report = json.loads(out)
    calls = endpoint.calls()
    assert kills >= 2
    assert (report["kept"], len(lines(tmp_path / "generated.jsonl"))) == (400, 400)
    assert len(calls) == report["calls"]
    assert calls.total() - len(calls) <= kills * 8  # a round is in flight at most
    assert Counter(row["id"] for row in lines(tmp_path / "generated.jsonl")).most_common(1)[0][1] == 1


class Consents:
    """Keeps what it is told, and says no after the pilot where `refuses`."""

    def __init__(self, refuses=False):
        self.told, self.refuses = [], refuses

    def before(self, quote):
        self.told.append(quote)

    def after(self, quote):
        self.told.append(quote)
        if self.refuses:
            raise BudgetError("stopped before the bulk")


@pytest.mark.slow
async def test_the_first_round_tells_what_the_rest_will_cost_before_it_is_paid(endpoint, tmp_path):
    async def made(consent, n=400):
        session = Session(teacher=endpoint.url("proposals"), store=tmp_path / "s.db", settings=PRICED, consent=consent)
        return (await generate(None, Wanted(n), session, seeds="builtin", out=tmp_path / "made.jsonl")).report

    with pytest.raises(BudgetError, match="before the bulk"):
        await made(Consents(refuses=True))
    assert endpoint.calls().total() == 8
    agreed = Consents()
    report = await made(agreed)
    first, quote = agreed.told
    each = (20 * 1 + 2 * 2) / 1e6
    assert first.price_snapshot is not None
    assert quote.cost_usd.value == pytest.approx(quote.n * each)
    assert abs(quote.n + 8 - report.calls) <= 2  # the refused round's eight came from the store
    again = Consents()
    await made(again)
    assert again.told == []  # nothing is to be paid


async def test_a_collapse_of_acceptance_ends_it_with_the_curve(endpoint, tmp_path):
    report = (await exercises(endpoint, tmp_path, 500, "proposals-few")).report
    assert report.stopped == "collapse"
    assert 0 < report.kept <= 5
    assert "more varied seeds" in report.why
    assert sum(kept for _, kept in report.curve) == report.kept
    assert sum(asked for asked, _ in report.curve) == report.kept + sum(report.dropped.values())
    drops = lines(tmp_path / "made.dropped.jsonl")
    kept = {row["id"] for row in lines(tmp_path / "made.jsonl")}
    assert {drop["reason"] for drop in drops} == {"exact", "rouge-l"}
    assert all(drop["score"] > 0.7 and drop["resembled"] in kept for drop in drops)


async def test_the_table_of_models_tells_a_providers_context(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    accept_terms("openai:gpt-3.5-turbo", tmp_path)
    (tmp_path / "seeds.jsonl").write_text(
        json.dumps({"id": "long", "instruction": "Sum up.", "input": "word " * 12_000, "output": "A word."})
    )
    with pytest.raises(UserError, match=r"context of 16,385 \(genai-prices [\d.]+\); the seed 'long'"):
        await generate(None, Wanted(5), Session(teacher="openai:gpt-3.5-turbo"), seeds="seeds.jsonl")


async def test_each_filter_counts_what_came_to_it_and_what_went_on(endpoint, tmp_path):
    report = (await exercises(endpoint, tmp_path, 500, "proposals-few")).report
    assert [one.name for one in report.filters] == [*(f"rule: {name}" for name in RULES), "exact", "rouge-l"]
    assert all(before.passed == after.judged for before, after in itertools.pairwise(report.filters))
    assert (report.filters[0].judged, report.filters[-1].passed) == (
        report.kept + sum(report.dropped.values()),
        report.kept,
    )
    assert {one.name: one.judged - one.passed for one in report.filters if one.judged > one.passed} == report.dropped


async def test_the_teacher_reads_root_verbs_in_calls_that_are_paid_once_and_capped(endpoint, tmp_path):
    async def made(consent=None, **settings):
        session = Session(
            teacher=endpoint.url("proposals"), store=tmp_path / "s.db", settings=PRICED | settings, consent=consent
        )
        out = tmp_path / "m.jsonl"
        return await generate(None, Wanted(60), session, seeds="builtin", out=out, verbs_by_teacher=True)

    done = await made()
    parsed = done.parsed
    assert (parsed.calls, parsed.from_store, parsed.unread, parsed.why) == (3, 0, {"no readable line": 3}, None)
    assert parsed.pairs == [("explain", None)] * 57
    assert done.report.cost_usd == pytest.approx((done.report.calls + 3) * (20 * 1 + 2 * 2) / 1e6)
    assert "57 of 60 rows, 57 have a root verb" in (page := write_page(done)[0].read_text())
    assert "3 rows are not in it: no readable line" in page
    assert "Read by the teacher http" in page
    again = await made()
    assert (again.parsed, again.report.cost_usd) == (replace(parsed, from_store=3), 0)
    with sqlite3.connect(tmp_path / "s.db") as store:
        for start in (0, 25, 50):
            asked = request_of(endpoint.url("proposals"), done.texts[start : start + 25])
            store.execute("DELETE FROM completions WHERE request_hash = ?", (asked.hash,))
    stopped = (await made(max_usd=1e-9)).parsed
    assert (stopped.pairs, stopped.unread) == ([], {"not asked": 60})
    assert "raise --max-usd" in stopped.why
    assert len(lines(tmp_path / "m.jsonl")) == 60


async def test_calls_about_verbs_are_paid_only_where_the_user_agrees_and_the_rows_are_there_all_the_same(
    endpoint, tmp_path
):
    """One consent is to rows and verbs. Where the rows are paid already, the verbs are asked about alone."""
    says, out = Consents(), tmp_path / "m.jsonl"
    session = Session(teacher=endpoint.url("proposals"), store=tmp_path / "s.db", settings=PRICED, consent=says)
    await generate(None, Wanted(400), session, seeds="builtin", out=out)
    rows = endpoint.calls().total()

    class No(Consents):
        def before(self, quote):
            super().before(quote)
            raise BudgetError("not the verbs")

    no = replace(session, consent=(refuses := No()))
    done = await generate(None, Wanted(400), no, seeds="builtin", out=out, verbs_by_teacher=True)
    assert (len(lines(out)), refuses.told[0].n) == (400, 400 / 25)
    assert (done.parsed.why, done.parsed.calls, endpoint.calls().total()) == ("not the verbs", 0, rows)
    (tmp_path / "s.db").unlink()
    whole = replace(session, consent=(once := Consents()))
    done = await generate(None, Wanted(400), whole, seeds="builtin", out=out, verbs_by_teacher=True)
    assert done.parsed.calls == 16 and [quote.cost_usd is not None for quote in once.told] == [False, False, True]
    assert [part.n for part in once.told[2].later] == [16] and once.told[2].total_usd > once.told[2].cost_usd.value


def test_a_line_about_verbs_that_is_not_as_asked_for_is_never_guessed_at():
    reply = "1: write | Story\n2. sort | <none>\n4: two words | x\n5: a | 7\n6: go | home\n6: go | away\n9: x | y\n7: cut | of"
    assert read_pairs(reply, 7, cut_off=True) == [("write", "story"), ("sort", None), None, None, None, None, None]
    assert read_pairs(reply, 7, cut_off=False)[6] == ("cut", "of")


STEP_APP = '''
from typing import Literal
from stillhouse import step


@step
async def mood(day: str) -> Literal["good", "bad"]:
    """Is it good?"""
'''


@pytest.mark.slow
def test_a_steps_name_takes_a_task_files_place(endpoint, tmp_path):
    (tmp_path / "mood_app.py").write_text(STEP_APP)
    rows = tmp_path / "steps" / "mood" / "examples.jsonl"
    rows.parent.mkdir(parents=True)
    rows.write_text(
        "".join(
            json.dumps({"id": f"r{i}", "input": f"day {i} was {i} times as fair", "label": "good"}) + "\n"
            for i in range(20)
        )
    )
    given = (
        "--teacher",
        endpoint.url("proposals"),
        "-n",
        15,
        "--yes",
        "--price-in",
        1,
        "--price-out",
        2,
        "--no-report",
    )
    process, out, err = stillhouse(tmp_path, "mood_app.py:mood", *given)
    assert process.returncode == 0, err
    assert len(lines(rows.with_name("generated.jsonl"))) == 15
    assert 'in [data] of the task: unlabelled = "generated.jsonl"' in out
    assert "then stillhouse label mood_app.py:mood" in out.replace("\n", " ")
    process, _, err = stillhouse(tmp_path, "mood_app.py:nothing", *given)
    assert (process.returncode, "has no model step 'nothing'; its model steps: mood" in err.replace("\n", " ")) == (
        2,
        True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["nonsense", "empty", "filter", "html", "no-choices"])
async def test_replies_without_a_proposal_end_it_with_the_reason(endpoint, tmp_path, mode):
    """Prose counts as proposals that could not be read, and ends it after the first round; what fails call by call fails as a whole."""
    if mode == "nonsense":
        report = (await exercises(endpoint, tmp_path, 500, mode)).report
        assert (report.stopped, report.kept, report.dropped) == ("unreadable", 0, {"no numbered proposal": 160})
        assert (report.shown, report.calls, endpoint.calls().total()) == ("I would rather not say", 8, 8)
    else:
        with pytest.raises(TeacherError, match="every call of the first round failed"):
            await exercises(endpoint, tmp_path, 50, mode)


@pytest.mark.slow
async def test_a_schema_is_asked_for_where_the_endpoint_has_one_and_left_out_where_it_has_none(endpoint, tmp_path):
    for mode, kept, says in (("proposals-schema", 10, []), ("proposals-plain", 19, ["schema"])):
        done = await exercises(endpoint, tmp_path, kept, mode, structured=True)
        again = await exercises(endpoint, tmp_path, kept, mode, structured=True)
        assert (done.report.kept, again.report.calls, again.report.from_store) == (
            kept,
            done.report.calls,
            again.report.calls,
        )
        for report in (done.report, again.report):
            assert [name for name in says if not any(f"has no {name}" in told for told in report.warnings)] == []
    project(tmp_path)
    inputs = Session(teacher=endpoint.url("proposals-schema"), settings={"structured": True})
    assert (await generate(tmp_path, Wanted(5), inputs, out=tmp_path / "inputs.jsonl")).report.kept == 5


@pytest.mark.slow
async def test_stored_replies_are_read_again_by_a_better_reader(endpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("stillhouse.teacher.instructions.proposals", lambda *_, **__: [])
    before = await exercises(endpoint, tmp_path, 60)
    assert (before.report.kept, before.report.stopped) == (0, "unreadable")
    monkeypatch.undo()
    after = await exercises(endpoint, tmp_path, 60)
    assert (after.report.kept, after.report.from_store, endpoint.calls().total()) == (60, 3, 3)


async def test_a_reply_that_is_cut_off_loses_its_last_proposal_alone(endpoint, tmp_path):
    report = (await exercises(endpoint, tmp_path, 19, "proposals-cut")).report
    assert (report.kept, report.dropped) == (19, {"cut off": 1})


async def test_the_budget_ends_it_and_what_was_kept_is_written(endpoint, tmp_path):
    dear = {"price_in": 0, "price_out": 1000}
    done = await exercises(
        endpoint, tmp_path, 200, max_usd=3.0775, **dear
    )  # a call may cost $3.072 and costs $0.002: three of them
    assert done.report.stopped == "budget"
    assert 0 < done.report.kept == len(lines(done.out)) < 200
    assert done.report.cost_usd == pytest.approx(0.006)
    with pytest.raises(BudgetError, match="raise --max-usd"):
        await exercises(endpoint, tmp_path, 1, "proposals-slow", max_usd=0.01, **dear)


@pytest.mark.parametrize("cap", [0, -1])
async def test_a_budget_of_nothing_is_refused_before_a_call(endpoint, tmp_path, cap):
    with pytest.raises(UserError, match="pays for no call"):
        await exercises(endpoint, tmp_path, max_usd=cap, **PRICED)
    assert endpoint.calls().total() == 0


async def test_a_prompt_over_the_context_is_refused_with_the_remedy(endpoint, tmp_path):
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text(
        json.dumps({"id": "long", "instruction": "Sum up the text.", "input": "word " * 4000, "output": "A word."})
    )
    with pytest.raises(
        UserError, match=r"context of 4,096 \(given by the user\); the seed 'long' is its longest part: shorten it"
    ):
        await generate(
            None,
            Wanted(5),
            Session(teacher=endpoint.url("proposals"), store=tmp_path / "s"),
            seeds=seeds,
            asking=GenerationSettings(context_tokens=4096),
            out=tmp_path / "o.jsonl",
        )
    with pytest.raises(UserError, match=r"context of 4,096 \(the endpoint's list of models\); the seed 'long'"):
        await generate(
            None,
            Wanted(5),
            Session(teacher=endpoint.url("proposals-listed"), store=tmp_path / "s"),
            seeds=seeds,
            out=tmp_path / "o.jsonl",
        )
    assert endpoint.calls().total() == 0
    assert (await exercises(endpoint, tmp_path, 5)).report.context_tokens is None
    with pytest.raises(TeacherError, match=r"maximum context length is 512 tokens.*bring shorter seeds"):
        await exercises(endpoint, tmp_path, 5, "context-short")


def test_seeds_that_are_there_twice_are_left_out_and_named(tmp_path):
    rows = [
        {"id": f"s{i}", "instruction": text, "output": "Yes."}
        for i, text in enumerate(["Say yes to me.", "say  YES to me", "Say no to me."])
    ]
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seeds, left_out = load_seeds(path)
    assert [seed.id for seed in seeds] == ["s0", "s2"]
    assert left_out == ["seeds.jsonl:2: the seed 's1' is the same as 's0' and was left out"]
    path.write_text(path.read_text() + json.dumps({"id": "s0", "instruction": "Say maybe.", "output": "Maybe."}))
    with pytest.raises(DatasetError, match=r":4: the id 's0' occurs twice"):
        load_seeds(path)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"instruction": "x"}', '{"instruction": "", "output": "y"}', '{"instruction": 3, "output": "y"}', ""],
)
def test_a_seed_file_that_is_none_is_refused_in_a_sentence(tmp_path, text):
    (tmp_path / "seeds.jsonl").write_text(text)
    with pytest.raises(DatasetError, match=r"seeds\.jsonl.*(mend the row|add rows)"):
        load_seeds(tmp_path / "seeds.jsonl")


def test_alpacas_own_seeds_are_read(real_data):
    seeds, _ = load_seeds(real_data / "alpaca" / "seed_tasks.jsonl")
    assert len(seeds) == 175


def test_the_shipped_seeds_are_many_and_pass_every_rule():
    seeds, left_out = load_seeds("builtin")
    assert (len(seeds) >= 60, left_out) == (True, [])
    assert [seed.id for seed in seeds for broken in RULES.values() if broken(seed.instruction)] == []


@pytest.mark.parametrize(
    ("rule", "broken", "fine"),
    [
        ("length", ["Say it now", "word " * 151], ["Say it now please", "word " * 150]),
        (
            "words",
            ["Draw a house for me", "Describe the picture below", "Please go to the shop"],
            ["Describe the mapping", "Explain photography to me"],
        ),
        (
            "program",
            ["Write a program that sorts names"],
            ["Please write a program that sorts", "Write a function that sorts"],
        ),
        ("punctuation", ["- list three fruits now", "(optional) say hello to me"], ["List three fruits now"]),
        ("ascii", ["Über die Brücke gehen", "東京 is where"], ["Explain what Über means here"]),
    ],
)
def test_a_rule_says_what_alpacas_script_says(rule, broken, fine):
    assert [RULES[rule](text) for text in broken + fine] == [True] * len(broken) + [False] * len(fine)


def test_numbered_blocks_are_read_by_their_numbers():
    reply = "Sure!\n## 4\none\n## 5.\ntwo\n## 5\ntwo again\n## 99\nfar\n## 6\n\n## 7\nhalf"
    assert [(block.number, block.problem) for block in blocks(reply, 4, 8, cut_off=True)] == [
        (4, None), (5, None), (5, "number twice"), (99, "number not asked for"), (6, "empty"), (7, "cut off"),
    ]  # fmt: skip
    assert fields("Instruction: Sort\nthem.\nInput: b, a\nOutput: a,\nInput: b") == {
        "instruction": "Sort them.",
        "input": "b, a",
        "output": "a,\nInput: b",
    }
    assert fields("Instruction: Sort.\nInput: <NONE>\nOutput: x")["input"] == ""
    assert fields("Input: x\nInstruction: y\nOutput: z") is None


HEADS = {
    "as asked": "## 1\none\n## 2\ntwo\n## 3\nthree",
    "CRLF": "## 1\r\none\r\n\r\n## 2\r\ntwo\r\n## 3\r\nthree\r\n",
    "CR": "## 1\rone\r## 2\rtwo\r## 3\rthree",
    "level three": "### 1\none\n### 2\ntwo\n### 3\nthree",
    "level one": "# 1\none\n# 2\ntwo\n# 3\nthree",
    "bold": "**## 1**\none\n**## 2**\ntwo\n**## 3**\nthree",
    "bold inside": "## **1**\none\n## **2.**\ntwo\n### __3__\nthree",
    "bracket": "## 1)\none\n## 2)\ntwo\n## 3)\nthree",
    "colon after bold": "**## 1**:\none\n**## 2:**\ntwo\n  ## 3 .\nthree",
    "with text": "## 1. one\n## 2. two\n\n## 3. three",
    "with text and bracket": "## 1) one\n## 2) two\n## 3) three",
    "with text and bold": "**## 1.** one\n## **2**: two\n**## 3. three**",
    "with a colon": "##1: one\n##2: two\n##3: three",
    "mixed": "## 1. one\n## 2\ntwo\n### 3) three",
    "No.": "## No. 1\none\n## No. 2\ntwo\n## No. 3\nthree",
    "Nr and number sign": "## Nr. 1:\none\n## № 2\ntwo\n## Task #3\nthree",
    "square brackets": "## [1]\none\n## [2]\ntwo\n## [3] three",
    "brackets alone": "[1]\none\n[2] two\n[3]: three",
    "marked words": "### Task 1:\none\n### Task 2: two\n### **Task 3**\nthree",
    "words": "Task 1:\none\nTask 2: two\n\ntask 3\nthree",
    "bold words": "**Task 1:** one\n**Task 2**: two\n__Task 3__\nthree",
    "bold numbers": "**1.**\none\n**2.** two\n**3**\nthree",
    "a list": "1. one\n2. two\n3. three",
    "a list in brackets": "Here they are:\n\n1) one\n\n2) two\n\n3) three",
    "a list, bold": "**1. one**\n**2. two**\n**3. three**",
    "quoted": "> ## 1\n> one\n> ## 2\n> two\n>\n> ## 3\n> three",
    "quoted heads": "> ## 1\none\n> ## 2\ntwo\n> ## 3\nthree",
    "full width": "## １：\none\n＃＃２\ntwo\n## ３． three",
    "full width in a list": "１．one\n２：two\n３、three",
    "a fence around all": "```markdown\n## 1\none\n## 2\ntwo\n## 3\nthree\n```",
    "a fence around each": "```\n## 1\none\n```\n\n```\n## 2\ntwo\n```\n```\n## 3\nthree\n```\n",
    "fences left over": "```\n## 1\none\n```\n## 2\ntwo\n```\n## 3\nthree\n```",
    "a list in a fence": "Here:\n```\n1. one\n2. two\n3. three\n```",
    "points": "* ## 1\none\n* ## 2\ntwo\n- ## 3\nthree",
    "a list of points": "- 1. one\n- 2. two\n- 3. three",
    "two words": "## Task No. 1\none\n## Task No. 2:\ntwo\n## Task No. 3 three",
    "dashes": "Task 1: one\nTask 2: - two\n**Task 3** – three",
    "keycaps": "## 1️⃣\none\n## 2️⃣\ntwo\n## 3⃣ three",
    "a byte order mark": "\ufeff## 1\none\n## 2\ntwo\n## 3\nthree",
    "a list and CRLF": "1. one\r\n2. two\r\n3. three\r\n",
    "in circles": "① one\n② two\n③ three",
    "in black circles, with a heading": "Here:\n\n❶ one\n❷ two\n❸ three",
    "circles in headings": "## ①\none\n## ②\ntwo\n## ③ three",
    "numbers with their own brackets": "⑴ one\n⑵ two\n⑶ three",
    "numbers with their own points": "⒈ one\n⒉ two\n⒊ three",
    "angles": "<1> one\n<2> two\n<3> three",
    "angles on lines of their own": "<1>\none\n<2>\ntwo\n<3>\nthree",
    "angles that are closed": "<1>one</1>\n<2>two</2>\n<3>three</3>",
    "CJK brackets": "〈1〉one\n《2》 two\n「3」 three",
    "braces": "{1} one\n{2} two\n{3} three",
    "Chinese numerals": "一、one\n二、two\n三、three",
    "Chinese questions": "第一题：one\n第二题：two\n第三题：three",
    "U+2028": "## 1\u2028one\u2028## 2\u2028two\u2028\u2028## 3\u2028three",
    "U+2029 and a list": "1. one\u20292. two\u20293. three",
    "NEL": "## 1\x85one\x85## 2\x85two\x85## 3\x85three",
    "of how many": "## 1 of 3\none\n## 2 of 3\ntwo\n## 3 of 3\nthree",
    "a share": "## 1/3\none\n## 2/3:\ntwo\n## **3/3**\nthree",
    "words of how many": "Task 1 of 3: one\n**Task 2 of 3**\ntwo\nTask 3 of 3:\nthree",
    "brackets of how many": "[1/3] one\n[2/3] two\n(3/3) three",
    "no-break spaces": "##\xa01\none\n##\xa02\ntwo\n##\xa03\nthree",
    "characters that nobody sees": "\u200b## 1\none\n\u200b## 2\ntwo\n## 3\nthree",
    "escaped": "\\## 1\none\n\\## 2\ntwo\n\\## 3\nthree",
    "an escaped list": "1\\. one\n2\\. two\n3\\. three",
    "headings that are closed": "## 1 ##\none\n## 2 ##\ntwo\n## 3 ##\nthree",
    "rules between": "## 1\none\n\n---\n## 2\ntwo\n---\n## 3\nthree",
    "a list with dashes": "1 - one\n2 - two\n3 – three",
    "a list with brackets": "1] one\n2] two\n3] three",
    "words of other languages": "Frage 1: one\n**Frage 2:** two\nFrage 3:\nthree",
    "headings in other languages": "## 问题1\none\n**## Вопрос 2**\ntwo\n### Pregunta 3:\nthree",
    "Russian words": "Вопрос 1: one\nВопрос 2: two\nВопрос 3: three",
    "Chinese words": "问题1：one\n问题2：two\n问题3：three",
    "Chinese numbers": "第1题：one\n第2题：two\n第3题：three",
    "HTML": "<h2>1</h2>\none\n<h2>2</h2>\ntwo\n<h2>3</h2>\nthree",
    "HTML with attributes and paragraphs": '<h2 class="t" id="a">1.</h2>\n<p>one</p>\n<h2>2.</h2>\n<p>two</p>\n<h2>3.</h2>\n<p>three</p>',
    "HTML with text": "<h3>1. one</h3>\n<h3>2. two</h3>\n<h3>3. three</h3>",
    "HTML and bold": "<h2><strong>1</strong></h2>\none\n<h2><b>2</b></h2>\ntwo\n<h2>3</h2>\nthree",
    "HTML with words, text behind": "<h2>Task 1</h2>one\n<h2>Task 2</h2>two\n<h2>Task 3</h2>three",
    "HTML in capitals": "<H2>1</H2>\none\n<H2>2</H2>\ntwo\n<H2>3</H2>\nthree",
    "HTML and number words": "<h2>Task One</h2>\none\n<h2>Task Two</h2>\ntwo\n<h2>Task Three</h2>\nthree",
    "HTML and Roman numerals": "<h2>I.</h2>\none\n<h2>II.</h2>\ntwo\n<h2>III.</h2>\nthree",
    "HTML in a fence": "```html\n<h2>1</h2>\none\n<h2>2</h2>\ntwo\n<h2>3</h2>\nthree\n```",
    "number words": "Task One:\none\nTask Two:\ntwo\nTask Three:\nthree",
    "number words in headings": "## Task One\none\n## Task Two\ntwo\n## Task Three\nthree",
    "number words alone in headings": "## One\none\n## Two\ntwo\n## Three\nthree",
    "number words in bold": "**One.** one\n**Two.** two\n**Three.** three",
    "number words in capitals": "TASK ONE: one\nTASK TWO: two\nTASK THREE: three",
    "a list of number words": "One. one\nTwo. two\nThree. three",
    "number words in brackets": "(One) one\n(Two) two\n(Three) three",
    "ordinals": "First task: one\nSecond task: two\nThird task: three",
    "ordinals in headings": "## First Task\none\n## Second Task\ntwo\n## Third Task\nthree",
    "numbers and number words": "No. One: one\nNo. Two: two\nNo. Three: three",
    "Roman numerals": "I. one\nII. two\nIII. three",
    "small Roman numerals in brackets": "(i) one\n(ii) two\n(iii) three",
    "Roman numerals in headings": "## I\none\n## II\ntwo\n## III\nthree",
    "words and Roman numerals": "Task I: one\nTask II: two\nTask III: three",
    "Roman numerals in bold": "**I.** one\n**II.** two\n**III.** three",
    "Roman numerals with words of other languages": "Aufgabe I: one\nAufgabe II: two\nAufgabe III: three",
    "number words of how many": "Task One of 3: one\nTask Two of 3: two\nTask Three of 3: three",
    "Roman numerals of one sign": "Ⅰ. one\nⅡ. two\nⅢ. three",
    "keycaps alone": "1️⃣ one\n2️⃣ two\n3️⃣ three",
    "points that are pictures": "🔹 1. one\n🔹 2. two\n🔹 3. three",
    "headings underlined": "1\n---\none\n\n2\n---\ntwo\n\n3\n---\nthree",
    "lines on both sides": "=== 1 ===\none\n=== 2 ===\ntwo\n=== 3 ===\nthree",
    "letters": "T1: one\nT2: two\nT3: three",
    "numbers alone": "1\none\n2\ntwo\n3\nthree",
    "point and bracket": "1.) one\n2.) two\n3.) three",
    "italic numbers": "*1.* one\n*2.* two\n*3.* three",
    "italic words": "_Task 1:_ one\n_Task 2:_ two\n_Task 3:_ three",
    "a heading before": "Here are three:\n\n## 1\none\n## 2\ntwo\n## 3\nthree",
}


@pytest.mark.parametrize("reply", HEADS.values(), ids=HEADS)
def test_numbered_blocks_are_read_however_their_heads_are_dressed(reply):
    read = blocks(reply, 1, 3, cut_off=False)
    assert [(block.number, block.text, block.problem) for block in read] == [
        (1, "one", None), (2, "two", None), (3, "three", None),
    ]  # fmt: skip


def test_a_heading_inside_an_answer_begins_no_block():
    reply = "## 4\nPlan:\n## 1. Begin\nx\n## 2. End\ny\n## 5\nSay 1.5 times\n## 7. Not the next"
    assert [(block.number, block.text, block.problem) for block in blocks(reply, 4, 6, cut_off=False)] == [
        (4, "Plan:\n## 1. Begin\nx\n## 2. End\ny", None),
        (5, "Say 1.5 times\n## 7. Not the next", None),
    ]


def test_number_words_and_roman_numerals_within_an_answer_begin_no_block():
    inside = "## 1\nPlan:\nI. a\nII. b\n## 2\nOne: c\n<h2>2</h2>"
    assert [block.text for block in blocks(inside, 1, 2, cut_off=False)] == ["Plan:\nI. a\nII. b", "One: c\n<h2>2</h2>"]
    steps = "Task One: Steps:\n1. a\n2. b\nTask Two: c"
    assert [block.text for block in blocks(steps, 1, 2, cut_off=False)] == ["Steps:\n1. a\n2. b", "c"]
    twice = "Task One: a\nTask One: b\nTask Two: c"
    assert blocks(twice, 1, 2, cut_off=False) == []  # which one is meant?
    words = "Nineteen", "Twenty", "Twenty-one", "twenty two"
    high = "\n".join(f"Task {word}: {word}" for word in words)
    assert [block.text for block in blocks(high, 19, 22, cut_off=False)] == [*words]
    roman = "\n".join(f"{numeral}. {numeral}" for numeral in ("XXXIX", "XL", "XLI"))
    assert [block.number for block in blocks(roman, 39, 41, cut_off=False)] == [39, 40, 41]
    assert blocks("IIII. a\nVX. b", 4, 5, cut_off=False) == []
    assert blocks("Did I. x\nOne of the tasks: y", 1, 2, cut_off=False) == []


def test_a_comment_in_code_begins_no_block():
    for fence in ("```python\n{}\n```", "```\n{}\n```", "~~~sh\n{}\n~~~", "{}"):
        code = fence.format("# 7\nx = 7\n# 2\ny = 2")
        for mark in ("##", "###", "**##"):
            end = "**" if mark[0] == "*" else ""
            reply = f"{mark} 1{end}\nRun:\n{code}\n{mark} 2{end}\ntwo"
            read = blocks(reply, 1, 2, cut_off=False)
            assert [(block.number, block.text) for block in read] == [(1, f"Run:\n{code}"), (2, "two")]
    inside = "## 1\n```sh\n## 2\n```\nstill one\n## 2\ntwo"
    assert [block.text for block in blocks(inside, 1, 2, cut_off=False)] == ["```sh\n## 2\n```\nstill one", "two"]
    left_open = "## 1\n```\none\n## 2\ntwo"
    assert [block.number for block in blocks(left_open, 1, 2, cut_off=False)] == [1, 2]


def test_lists_of_other_signs_within_an_answer_begin_no_block():
    for inner in ("① a\n② b", "一、a\n二、b", "<1> a\n<2> b"):
        reply = f"## 1\nSteps:\n{inner}\n## 2\ntwo"
        assert [block.text for block in blocks(reply, 1, 2, cut_off=False)] == [f"Steps:\n{inner}", "two"]
    assert [block.text for block in blocks("Task 1: ① a\n② b\nTask 2: c", 1, 2, cut_off=False)] == ["① a\n② b", "c"]
    assert [block.text for block in blocks("1. 1/2 cup\n2. 1/4 cup", 1, 2, cut_off=False)] == ["1/2 cup", "1/4 cup"]
    assert [block.text for block in blocks("## 1\n## 1/2 cup\n## 2\nb", 1, 2, cut_off=False)][-1] == "b"


@pytest.mark.parametrize("text", [".NET is", "**Sort** the list", ":) smile", "-5 + 3", "(a) b", "__Sum__ it", "- 4"])
@pytest.mark.parametrize(
    "head", ["## {}\n", "## {}. ", "## {} ", "[{}] ", "({}) ", "{}. ", "Task {}: ", "**{}.** ", "<{}> "]
)
def test_a_proposal_keeps_the_signs_that_it_begins_with(head, text):
    reply = f"{head.format(1)}{text}\n{head.format(2)}{text}"
    assert [block.text for block in blocks(reply, 1, 2, cut_off=False)] == [text, text]


def test_bold_that_begins_with_the_number_may_end_within_the_line():
    reply = "**1. Sort** the list\n**2. Sum** **it**"
    assert [block.text for block in blocks(reply, 1, 2, cut_off=False)] == ["Sort the list", "Sum **it**"]


@pytest.mark.parametrize("text", ["个人信息是什么？", "项目一：概述", "题目是什么？"])
@pytest.mark.parametrize(
    "head", ["第{}题：", "问题{}：", "[{}] ", "[{}]", "## 第{}题 ", "## [{}]：", "Task {}：", "{}、", "{}. "]
)
def test_a_chinese_text_keeps_its_first_sign(head, text):
    reply = f"{head.format(1)}{text}\n{head.format(2)}{text}"
    assert [block.text for block in blocks(reply, 1, 2, cut_off=False)] == [text, text]


def test_a_rule_that_belongs_to_an_answer_stays():
    reply = "## 1\none\n---\n## 2\ntwo\n## 3\nthree"
    assert [block.text for block in blocks(reply, 1, 3, cut_off=False)] == ["one\n---", "two", "three"]
    assert [block.text for block in blocks("## 1\none\n---", 1, 1, cut_off=False)] == ["one\n---"]


def test_numbers_that_may_belong_to_an_answer_begin_no_block():
    inside = "## 1\nSteps:\n1. one\n2. two\n## 2\nTask 3: sort"
    assert [block.text for block in blocks(inside, 1, 3, cut_off=False)] == ["Steps:\n1. one\n2. two", "Task 3: sort"]
    assert blocks("1. Sort:\n1. a\n2. b\n2. Next", 1, 3, cut_off=False) == []  # which 2 is meant?
    steps = "Task 1: Do:\nStep 1: a\nStep 2: b\nTask 2: c"
    assert [block.text for block in blocks(steps, 1, 2, cut_off=False)] == ["Do:\nStep 1: a\nStep 2: b", "c"]
    assert blocks("Step 1: a\nStep 2: b", 1, 3, cut_off=False) == []
    assert blocks("In 2024:\n5. is odd\n6. is even", 1, 3, cut_off=False) == []
    assert [block.text for block in blocks("1. 3.5 and\n3.5 more\n2. b", 1, 3, cut_off=False)] == [
        "3.5 and\n3.5 more",
        "b",
    ]


def test_a_fence_that_belongs_to_an_answer_stays():
    reply = "```\n## 1\nRun:\n```python\nx = 7\n```\n## 2\n```\ny\n```\n```"
    assert [block.text for block in blocks(reply, 1, 2, cut_off=False)] == [
        "Run:\n```python\nx = 7\n```",
        "```\ny\n```",
    ]


def test_fields_are_read_with_full_width_colons_headings_and_points():
    for text in (
        "Instruction：Sort.\nInput： b, a\nOutput： a, b",
        "### Instruction:\nSort.\n### Input:\nb, a\n### Output:\na, b",
    ):
        assert fields(text) == {"instruction": "Sort.", "input": "b, a", "output": "a, b"}
    assert fields("- Instruction: Sort.\n- Input: b, a\n- Output: a, b")["input"] == "b, a"


@pytest.mark.parametrize(
    "form", ["{}: {}", "**{}:** {}", "**{}**: {}", "__{}:__ {}", "### {}\n{}", "{}:\n{}", "- {}: {}"]
)
@pytest.mark.parametrize("case", [str.title, str.lower, str.upper])
def test_fields_keep_the_signs_that_they_begin_with(form, case):
    form = form.replace("### {}", "### {}:")
    parts = {"instruction": "**Sort** the list", "input": ".NET, **a**", "output": "**c** input: d"}
    assert fields("\n".join(form.format(case(name), text) for name, text in parts.items())) == parts
    whole = "**Instruction: Sort**\n**Input: b, a**\n**Output: a,** b"
    assert fields(whole) == {"instruction": "Sort", "input": "b, a", "output": "a, b"}


def test_fields_are_read_in_bold():
    text = "**Instruction:** Sort.\n**Input**: b, a\n__Output:__ a, b"
    assert fields(text) == {"instruction": "Sort.", "input": "b, a", "output": "a, b"}


def test_the_length_of_an_instruction_is_counted_in_words_of_its_script():
    assert not RULES["length"]("写一首关于秋天的诗") and RULES["length"]("写诗")


async def test_inputs_for_a_task_are_balanced_and_carry_their_lineage(endpoint, tmp_path):
    task = project(tmp_path)
    wanted = Wanted(160, ("new", "harder", "rephrased"), balance=True)
    done = await generate(
        task, wanted, Session(teacher=endpoint.url("proposals")), asking=GenerationSettings(per_call=10)
    )
    rows = load_examples(done.out).examples
    assert all(row.label is None for row in rows)  # a class that was asked for is no label
    asked = Counter(row.extra["lineage"]["asked_label"] for row in rows)
    assert abs(asked["good"] - asked["bad"]) <= 10
    parents = {example.id: example for example in load_splits(load_task(task)).train}
    for row in rows:
        lineage = row.extra["lineage"]
        assert len(lineage["parents"]) == (3 if lineage["how"] == "new" else 1)
        assert {parents[id_].label for id_ in lineage["parents"]} == {lineage["asked_label"]}
    assert {row.extra["lineage"]["how"] for row in rows} == {"new", "harder", "rephrased"}
    assert done.report.held_out == len(load_splits(load_task(task)).test) + len(
        load_splits(load_task(task)).validation
    ) + len(load_splits(load_task(task)).calibration)


async def test_the_way_of_asking_does_not_tell_the_class(tmp_path):
    task = load_task(project(tmp_path))
    rows = load_splits(task).train
    planner = TaskInputs("m", task, rows, GenerationSettings(), ways=("new", "harder"), labels=("good", "bad"))
    pairs = Counter((call.how, call.label) for call in planner.calls(0, 40, ()))
    assert (
        sum(pairs.values()) == 40
        and min(pairs[how, label] for how in ("new", "harder") for label in ("good", "bad")) >= 5
    )
    assert Counter(call.how for call in planner.calls(0, 40, ())) == {"new": 20, "harder": 20}
    assert [call.request.hash for call in planner.calls(0, 40, ())] == [
        call.request.hash for call in planner.calls(0, 40, ())
    ]


SCRIPT = '''
import json

ROWS = ["evening 3 felt dull to everyone there", "DAY 2 was good, all along!", "a morning that nobody else will ever remember"]


def copies(request, example):
    """A test row, a training row, a new one."""
    return "\\n".join(f"## {number}\\n{row}" for number, row in enumerate(ROWS, start=4))


def exercises(request, example):
    """A test row as its instruction, one whose instruction and input together are a test row in other words, a new one, its near copy."""
    rows = [(ROWS[0], "<none>"), ("evening 4 felt quite", "fine to everyone there"), ("Name the largest lake of all Africa.", "<none>")]
    rows += [("Name the very largest lake of all Africa.", "<none>"), ("Why do ships float on water?", "<none>")]
    return "\\n".join(f"## {number}\\nInstruction: {asked}\\nInput: {given}\\nOutput: So." for number, (asked, given) in enumerate(rows, start=4))


def objects(request, example):
    good = json.dumps({"input": {"q": "which of them flies", "hint": "wings"}, "choices": ["owl", "cow"]})
    return f"## 4\\n{good}\\n## 5\\nno JSON\\n## 6\\n" + json.dumps({"input": {"q": "other"}, "choices": ["a", "b"]}) + "\\n## 7\\n" + json.dumps(
        {"input": {"q": "which of them swims", "hint": "fins"}, "choices": ["cod"]}
    )
'''


async def test_what_the_teacher_copies_from_the_test_rows_is_dropped_and_named(tmp_path, monkeypatch):
    (tmp_path / "copying_teacher.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(tmp_path)
    done = await generate(
        project(tmp_path),
        Wanted(1),
        Session(teacher="scripted:copying_teacher:copies"),
        asking=GenerationSettings(per_call=3),
    )
    assert done.texts == ["a morning that nobody else will ever remember"]
    dropped = [(drop["reason"], drop["resembled"]) for drop in lines(tmp_path / "generated.dropped.jsonl")]
    assert dropped[0] == ("test: exact", "t3")
    assert len(dropped) == 2


@pytest.mark.parametrize("near", ["rouge-l", "minhash"])
async def test_exercises_that_copy_test_rows_or_each_other_are_dropped_with_score_and_row(tmp_path, monkeypatch, near):
    (tmp_path / "copying_teacher.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(tmp_path)
    session = Session(teacher="scripted:copying_teacher:exercises")
    wanted, asking = Wanted(2, near=near), GenerationSettings(per_call=5)
    done = await generate(project(tmp_path), wanted, session, seeds="builtin", asking=asking)
    assert done.texts == ["Name the largest lake of all Africa.", "Why do ships float on water?"]
    drops = lines(tmp_path / "generated.dropped.jsonl")
    first = lines(done.out)[0]["id"]
    scores = [
        1.0,
        pytest.approx(14 / 17),
        pytest.approx(14 / 15),
    ]  # 7 of 7 and of 10 words ("instruction" and "input" are two of them); 7 of 7 and of 8
    assert [(drop["reason"], drop["resembled"]) for drop in drops] == [
        ("test: exact", "t3"),
        ("test: rouge-l", "t4"),
        (near, first),
    ]
    assert [drop["score"] for drop in drops] == scores


async def test_inputs_of_fields_and_choices_keep_their_form(tmp_path, monkeypatch):
    (tmp_path / "copying_teacher.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(tmp_path)
    rows = [
        {"id": f"r{i}", "input": {"q": f"what is number {i}", "hint": "count"}, "choices": [f"c{i}", "d"], "label": "d"}
        for i in range(40)
    ]
    project(tmp_path, rows)
    (tmp_path / "task.toml").write_text(
        TASK.replace('labels = ["good", "bad"]\n', "").replace('test = "test.jsonl"\n', "")
    )
    done = await generate(
        tmp_path, Wanted(1), Session(teacher="scripted:copying_teacher:objects"), asking=GenerationSettings(per_call=4)
    )
    [row] = load_examples(done.out).examples
    assert (row.input, row.choices) == ({"q": "which of them flies", "hint": "wings"}, ("owl", "cow"))
    assert done.report.dropped == {"not a JSON object": 1, "other fields than the task's rows": 1, "no two choices": 1}


PLANTED = {
    "exact": "Evening 3 felt dull, to everyone there!",
    "rouge-l": "evening 3 felt quite dull to everyone in there",
    "minhash": " ".join(f"w{i}" for i in [*range(30, 60), *range(30)]),
}


@pytest.mark.parametrize("how", PLANTED)
@pytest.mark.parametrize("part", ["unlabelled", "train"])
async def test_a_planted_copy_of_a_test_row_fails_the_build(tmp_path, how, part):
    project(tmp_path)
    with (tmp_path / "test.jsonl").open("a") as file:
        file.write(json.dumps({"id": "long", "input": " ".join(f"w{i}" for i in range(60)), "label": "good"}) + "\n")
    planted = {"id": "gen-1", "input": PLANTED[how], "label": "bad", "lineage": {"how": "new", "parents": ["away"]}}
    if part == "train":
        with (tmp_path / "rows.jsonl").open("a") as file:
            file.write(json.dumps(planted) + "\n")
        (tmp_path / "task.toml").write_text(TASK + "split = [0.0, 0.0, 0.0]\n")
    else:
        (tmp_path / "generated.jsonl").write_text(json.dumps(planted) + "\n")
        (tmp_path / "task.toml").write_text(TASK + 'unlabelled = "generated.jsonl"\n')
    held_out = held_out_of(load_splits(load_task(tmp_path))) if how != "exact" else None
    assert held_out is None or held_out.resembles(PLANTED[how]).how == how
    for build in (
        lambda: prepare(load_task(tmp_path), Session()),
        lambda: generate(tmp_path, Wanted(1), Session(teacher="scripted:json:dumps"), out=tmp_path / "more.jsonl"),
    ):
        with pytest.raises(LeakageError, match=r"'gen-1' resembles test row|has the same input"):
            await build()


@pytest.mark.parametrize(
    ("held", "copy"),
    [
        (
            "Мой заказ пришёл вчера, но в коробке не было зарядки",
            "Мой заказ пришёл сегодня, но в коробке не было зарядки",
        ),
        ("注文した商品がまだ届いていません", "注文した品物がまだ届いていません"),
        (
            "Mein Päckchen für Jörg kam gestern völlig zerdrückt an",
            "Mein Päckchen für Jörg kam heute völlig zerdrückt an",
        ),
    ],
)
def test_near_copies_of_held_out_rows_are_seen_in_any_script(held, copy):
    held_out = HeldOut()
    held_out.include("test", [Example("t", held)])
    assert (held_out.resembles(copy).how, held_out.resembles(copy).row) == ("rouge-l", "t")
    assert held_out.resembles(held.translate({ord(letter): "x" for letter in held[1::2]})) is None


def test_a_refusal_names_all_pairs_and_of_many_the_first():
    held_out = HeldOut()
    held_out.include("test", [Example(f"t{i}", f"row {i} of the test " * 3) for i in range(12)])
    copies = [Example(f"g{i}", f"row {i} of the test " * 3) for i in range(12)]
    with pytest.raises(
        LeakageError,
        match=r"2 generated rows resemble .*: 'g0' resembles test row 't0' [^;]*; 'g1' resembles test row 't1' [^;]*; take",
    ):
        held_out.refuse(copies[:2], "rows")
    with pytest.raises(LeakageError, match=r"'g9' resembles test row 't9' [^;]*; and 2 more; take"):
        held_out.refuse(copies, "rows")


def test_held_out_rows_that_resemble_each_other_all_count():
    held_out = HeldOut()
    held_out.include("test", [Example("one", "a b c d e f g h i j"), Example("two", "a b c d e f g h i k l m")])
    assert held_out.resembles("x b c d e f g h i k l m").row == "two"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to generate from"),
        (["--seeds", "nowhere.jsonl"], "no such file of seed tasks"),
        (["--seeds", "builtin", "-n", "0"], "asks for no row"),
        (["--seeds", "builtin", "--shots", "0"], "asks for nothing"),
        (["--seeds", "builtin", "--without", "lenght"], "'lenght' is no rule"),
        (["--seeds", "builtin", "--near", "cosine"], "no measure of nearness"),
        (["--seeds", "builtin", "--threshold", "1.5"], "threshold of 1.5"),
        (["--seeds", "builtin", "--evolve", "harder"], "make inputs for a task"),
        (["--seeds", "builtin", "--teacher", "recorded:x.jsonl"], "make no new ones"),
        (["--seeds", "builtin", "--out", "mine.jsonl"], "rows that were not generated"),
        (["--seeds", "builtin", "--parser", "nltk"], "give spacy or teacher"),
        (["--seeds", "builtin", "--parser", "teacher", "--no-report"], "leave out --no-report"),
        (["--seeds", "builtin", "--data", "rows.jsonl"], "goes with a step's name"),
        ([".", "--evolve", "stranger"], "no way to make inputs"),
        ([".", "--out", "rows.jsonl"], "a file of the task"),
        ([".", "--without", "length"], "leave --without out"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, capsys, arguments, says):
    project(tmp_path)
    (tmp_path / "mine.jsonl").write_text('{"id": "1", "input": "x"}\n')
    monkeypatch.chdir(tmp_path)
    if "--teacher" not in arguments:
        arguments = [*arguments, "--teacher", "scripted:json:dumps"]
    from stillhouse.cli import main

    monkeypatch.setattr(sys, "argv", ["stillhouse", "generate", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    err = capsys.readouterr().err
    assert stopped.value.code == 2
    assert says in err
    assert "Traceback" not in err


async def test_rows_of_the_users_own_are_never_overwritten(tmp_path):
    (tmp_path / "made.jsonl").write_text('{"id": "1", "input": "x"}\n')
    with pytest.raises(ExistsError, match="not generated"):
        await generate(
            None, Wanted(1), Session(teacher="scripted:json:dumps"), seeds="builtin", out=tmp_path / "made.jsonl"
        )
