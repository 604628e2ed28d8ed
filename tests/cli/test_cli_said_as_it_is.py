"""What a command, a page or a file says is so: names of runs, what was paid, what is asked again, what a row was asked."""

import json
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import trace_samples
from docs_code import blocks
from moods_run import made_run
from stillhouse.commands.runs import list_command_runs
from stillhouse.errors import UserError
from stillhouse.experiment.few_shot import _Measuring
from stillhouse.llm.models import given_prices
from stillhouse.llm.prices import known_price
from stillhouse.report.run_page import render_run
from stillhouse.report.trace_words import cost
from stillhouse.runs import Run
from stillhouse.serving.proof import to_serve
from stillhouse.settings import ModelSettings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [*PAGES, *sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "src").rglob("*.txt"))]


def test_runs_are_named_as_the_commands_name_them():
    wrong = [
        (path.name, name)
        for path in TEXTS
        for name in re.findall(r"\bruns/(\w+(?:-\w+)*-\d+)", path.read_text(encoding="utf-8"))
        if not re.fullmatch(r"\w[\w-]*-(?:distill|advise|compare)-\d+|tests-\d+", name)
    ]
    assert wrong == []


def test_whatever_the_readme_imports_is_installed_by_what_it_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        need
        for name, needs in project["optional-dependencies"].items()
        if name not in ("test", "dev")
        for need in needs
    ]
    installed = {re.split(r"[<>=!~\[; ]", need)[0].replace("-", "_") for need in [*project["dependencies"], *extras]}
    template = ROOT / "src/stillhouse/commands/project/app.py.txt"
    for page in (ROOT / "README.md", template, ROOT / "docs/serving.md"):
        text = page.read_text(encoding="utf-8")
        code = text if page is template else "".join(blocks(page, "python"))
        for name in re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE):
            known = name in installed or name == "stillhouse" or name in sys.stdlib_module_names
            assert known or f"pip install {name}" in text, (page.name, name)


def test_a_labelled_row_keeps_what_it_held(tmp_path, stillhouse):
    row = {"id": "a", "input": "a fine day", "label": "good", "group": "g1", "source": "mail"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "answers.jsonl").write_text(json.dumps({"input": "a fine day", "teacher_label": "bad"}) + "\n")
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "mood"\ninstruction = "Good or bad?"\noutput = "choice"\nlabels = ["good", "bad"]\n'
        '[data]\ntrain = "rows.jsonl"\n[teacher]\nmodel = "recorded:answers.jsonl"\n'
    )
    assert stillhouse("label", tmp_path).code == 0
    labelled = json.loads((tmp_path / "teacher.jsonl").read_text())
    assert {name: labelled[name] for name in row} == row
    assert labelled["teacher_label"] == "bad"


SCRIPT = """
def answer(request, example):
    return "no label" if "odd" in example.text else "good"
"""


def test_rejected_replies_that_are_kept_are_said_to_be_read_again(tmp_path, stillhouse, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "said_teacher.py").write_text(SCRIPT)
    rows = [{"id": str(i), "input": f"{word} {i}"} for i, word in enumerate(["fine"] * 4 + ["odd"] * 3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "mood"\ninstruction = "Good or bad?"\noutput = "choice"\nlabels = ["good", "bad"]\n'
        '[data]\ntrain = "rows.jsonl"\n[teacher]\nmodel = "scripted:said_teacher:answer"\n'
    )
    said = stillhouse("label", tmp_path)
    assert "the replies to 3 rejected rows are kept: run again, this reads them and asks nobody" in said.out
    assert "asks 1 of" not in said.out
    assert said.out.endswith(f"next: stillhouse distill {tmp_path}\n")
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write("{torn\n")
    again = stillhouse("label", tmp_path, "--skip-bad", "--store", tmp_path / "other.db")
    assert again.out.endswith(f"next: stillhouse distill {tmp_path} --store {tmp_path / 'other.db'} --skip-bad\n")


@pytest.mark.slow  # a run of distill
def test_of_a_verdict_that_keeps_the_prompt_no_cascade_is_recommended(tmp_path):
    run = made_run(tmp_path, broken=0.25, margin=0.02)
    assert run.result.verdict.kind == "keep prompt" and run.serve_command is None
    with pytest.raises(UserError) as refused:
        to_serve(run.folder)
    assert "--cascade" not in str(refused.value) and "keep the prompt" in str(refused.value)


def test_a_stand_ins_prompts_cost_nothing():
    of = lambda stand_in: _Measuring._spent(SimpleNamespace(teacher=SimpleNamespace(stand_in=stand_in)), 0.2066)  # noqa: E731
    assert of(True) == "the prompts with examples cost nothing: a stand-in answered; at a model's price $0.2066"
    assert of(False) == "the prompts with examples cost $0.2066 in this run"


def test_what_a_flow_took_out_of_the_store_was_not_paid():
    asked = trace_samples.asked(40, 2, 0.5)
    rows = [
        trace_samples.row("a", 0, 1, kind="model", **asked, stored_usd=0.5),
        trace_samples.row("b", 1, 1, kind="model", **asked),
    ]
    made = trace_samples.trace(trace_samples.run(), rows)
    assert cost(made.used) == "$0.500, stored $0.500" or cost(made.used) == "$0.50, stored $0.50"


def test_a_flows_page_is_headed_by_words(tmp_path):
    result = {"answer": "the lamp is late", "order_ids": [17, 18], "refund": None, "urgent": True}
    page = render_run(trace_samples.trace(trace_samples.run(result=result), []))
    headline = re.search(r"<h1>(.*?)</h1>", page, re.DOTALL)[1].strip()
    assert headline == "answer: the lamp is late · order ids: 17, 18 · refund: nothing · urgent: yes"


def test_runs_lists_what_advise_and_distill_found(tmp_path, monkeypatch, stillhouse):
    monkeypatch.chdir(tmp_path)
    with Run.create(tmp_path / "runs", "mood-distill", "distill", {}) as run:
        run.save(verdict="finetune", chosen="linear")
        assert [each.status for each in list_command_runs(tmp_path / "runs")] == ["running"]
    killed = Run.create(tmp_path / "runs", "mood-advise", "advise", {})
    killed._lock.release()
    shown = stillhouse("runs")
    assert shown.code == 0
    assert re.search(r"mood-distill-1\s+distill\s+✓ done\s+\d+ s\s+train on your labels: linear", shown.out)
    assert re.search(r"mood-advise-1\s+advise\s+✗ killed\s+\d+ s\s+its process is dead; the same", shown.out)
    found = {run["run"]: run for run in stillhouse("runs", "--json").json}
    assert found["mood-distill-1"]["verdict"] == "finetune" and found["mood-advise-1"]["status"] == "killed"


def test_a_verdict_that_names_its_arm_is_not_said_twice(tmp_path, monkeypatch, stillhouse):
    monkeypatch.chdir(tmp_path)
    with Run.create(tmp_path / "runs", "mood-distill", "distill", {}) as run:
        run.save(verdict="cascade", chosen="cascade")
    assert re.search(r"✓ done\s+\d+ s\s+cascade\s*\n", stillhouse("runs").out)


def test_a_self_hosted_models_own_price_goes_before_the_tables():
    hosted = "http://gpu:8000/v1#llama"
    settings = ModelSettings(prices={hosted: (0.1, 0.4)})
    assert known_price(hosted, **given_prices(settings, hosted)).output_usd_per_m == 0.4
    other = known_price("openai:gpt-4o-mini", **given_prices(settings, "openai:gpt-4o-mini"))
    assert other is not None and other.from_table


APP = """
from typing import Literal
from stillhouse import flow, step

@step(model="{model}")
async def mood(text: str) -> Literal["good", "bad"]:
    \"\"\"Say whether the text is good.\"\"\"

@flow
async def main(text: str) -> str:
    return await mood(text)
"""


def test_a_flow_with_a_model_that_you_host_has_a_cost(tmp_path, monkeypatch, stillhouse, endpoint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "priced_app.py").write_text(APP.format(model=endpoint.url()))
    run = ("run", "priced_app.py:main", "--input", '{"text": "a good day"}', "--run-id", "one")
    done = stillhouse(*run, "--price", f"{endpoint.url()}=1000,2000")
    assert done.code == 0, done.err
    (listed,) = stillhouse("runs", "--json").json
    assert listed["cost_usd"] > 0
    refused = stillhouse(*run, "--price", "llama")
    assert refused.code == 2 and "--price llama: is no price of a model; give MODEL=IN,OUT" in refused.err
