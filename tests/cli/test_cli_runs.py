"""advise, distill, evaluate, report and serve on small real tasks: what they print, write and refuse."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version

import openai
import pytest

from stillhouse.data.dataset import write_examples
from stillhouse.demo.grammar import make_rows
from stillhouse.results.run_result import load_result

TASK = """
[task]
name = "route"
instruction = "Who answers?"
output = "choice"
labels = ["sql", "search", "chat"]

[data]
train = "train.jsonl"
test = "test.jsonl"
also_test = ["more.jsonl"]
split = [0.1, 0.3, 0.0]

[teacher]
model = "scripted:stillhouse.demo.stand_in:route_teacher"

[student]
ladder = [{ladder}]
{student}

[gate]
margin = {margin}
"""


def project(folder, *, ladder='"linear"', student='learn_from = "teacher"', margin=0.15, n=900, n_test=400):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(TASK.format(ladder=ladder, student=student, margin=margin))
    write_examples(folder / "train.jsonl", make_rows("route", n, 0, "train"))
    # Each row stands alone: of the two questions that the grammar writes alike, both measure.
    test = [replace(row, group=None) for row in make_rows("route", n_test + 50, 0, "test")]
    write_examples(folder / "test.jsonl", test[:n_test])
    write_examples(folder / "more.jsonl", test[n_test:])
    return folder


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    """One run of distill in a process of its own, for the tests that look at what it left."""
    folder = tmp_path_factory.mktemp("distilled")
    found = run("distill", project(folder / "route"), "--runs", folder / "runs", "--json")
    assert found.returncode == 0, found.stderr
    return folder, json.loads(found.stdout)


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "stillhouse", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.mark.slow
def test_distill_writes_what_it_says(distilled):
    folder, found = distilled
    run_folder = folder / "runs" / "route-distill-1"
    assert found["serves"] is True
    assert found["result"]["verdict"]["kind"] == "distil"
    assert found["result"]["chosen"] == "linear on teacher labels"
    manifest = json.loads((run_folder / "manifest.json").read_text())
    assert (manifest["status"], manifest["verdict"]) == ("done", "distil")
    assert set(manifest["settings"]["fingerprints"]) == {"train", "test", "more"}
    assert manifest["versions"]["scikit-learn"]
    card = (run_folder / "arms" / "linear-on-teacher-labels" / "student" / "card.md").read_text()
    assert "a stand-in and no model" in card
    assert "(n = 400)" in card
    assert "<svg" in (run_folder / "report.html").read_text()


@pytest.mark.slow
def test_every_answer_is_kept_so_that_any_number_can_be_computed_again(distilled):
    folder, found = distilled
    rows = [
        json.loads(line)
        for line in (folder / "runs" / "route-distill-1" / "predictions.jsonl").read_text().splitlines()
    ]
    arms = {arm["name"]: arm["score"] for arm in found["result"]["arms"] if arm["kind"] != "cascade"}
    assert {row["arm"] for row in rows} == set(arms) == {"prompt", "majority", "linear on teacher labels"}
    for name, score in arms.items():
        own = [row["score"] for row in rows if row["arm"] == name]
        assert (len(own), sum(own) / len(own)) == (400, pytest.approx(score["value"]))


@pytest.mark.slow
def test_the_other_test_set_has_a_line_of_its_own(distilled):
    _, found = distilled
    lines = {(test["name"], test["arm"]): test["score"]["n"] for test in found["result"]["other_tests"]}
    assert lines == {("more", "prompt"): 50, ("more", "linear on teacher labels"): 50}


@pytest.mark.slow
def test_the_stand_in_is_called_one(distilled):
    _, found = distilled
    assert [arm["stand_in"] for arm in found["result"]["arms"] if arm["name"] == "prompt"] == [True]
    assert found["result"]["label_quality"]["stand_in"] is True


@pytest.mark.slow
def test_report_is_written_again_and_evaluate_measures_student_cascade_and_recorded(distilled, stillhouse, tmp_path):
    folder, found = distilled
    run_folder = folder / "runs" / "route-distill-1"
    shown = stillhouse("report", run_folder, "--out", tmp_path / "again.html")
    assert shown.code == 0
    assert "Verdict: distil" in shown.out
    assert (tmp_path / "again.html").read_text().startswith("<!")
    test = folder / "route" / "test.jsonl"
    student = stillhouse("evaluate", run_folder, test, "--json").json
    wanted = next(arm["score"] for arm in found["result"]["arms"] if arm["kind"] == "student")
    assert student["score"]["value"] == pytest.approx(wanted["value"])
    assert (student["metric"], student["score"]["n"]) == ("accuracy", 400)
    prompt = stillhouse(
        "evaluate", "scripted:stillhouse.demo.stand_in:route_teacher", test, "--task", folder / "route", "--json"
    ).json
    assert prompt["score"]["value"] == pytest.approx(
        next(arm["score"]["value"] for arm in found["result"]["arms"] if arm["name"] == "prompt")
    )
    out = tmp_path / "rows.jsonl"
    said = stillhouse("evaluate", f"cascade:{run_folder}", test, "--out", out)
    assert said.code == 0, said.err
    assert "accuracy" in said.out
    assert len(out.read_text().splitlines()) == 400
    assert stillhouse("evaluate", run_folder, test, "--out", out).code == 2  # nothing is overwritten


@pytest.mark.slow
def test_a_student_that_does_not_pass_is_shown_so_and_not_served(stillhouse, tmp_path):
    project(tmp_path / "route", n=60, n_test=150, margin=0.005)
    found = stillhouse("distill", tmp_path / "route", "--runs", tmp_path / "runs", "--json")
    assert found.code == 1
    assert found.json["serves"] is False
    served = stillhouse("serve", tmp_path / "runs" / "route-distill-1")
    assert served.code == 2
    assert "no student of this run passed its gate" in served.err
    assert "linear-on-teacher-labels/student" in served.err


@pytest.mark.slow
def test_advise_prints_curves_and_crossover_and_a_killed_one_goes_on(stillhouse, tmp_path):
    project(tmp_path / "route", n=400, n_test=150)
    command = [
        sys.executable,
        "-m",
        "stillhouse",
        "advise",
        str(tmp_path / "route"),
        "--runs",
        str(tmp_path / "runs"),
        "--seeds",
        "3",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while process.poll() is None and len(list((tmp_path / "runs").glob("*/arms/*/arm.json"))) < 4:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/arms/*/arm.json")}
    found = stillhouse("advise", tmp_path / "route", "--runs", tmp_path / "runs", "--seeds", "3")
    assert found.code == 0, found.err
    assert len(kept) >= 4
    assert all(
        path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items()
    )  # nothing finished was computed again
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["route-advise-1"]
    said = r"linear on teacher labels does not meet the prompt at any size up to 240 labels \[.*\] \(3 seeds, n = 150\)"
    assert re.search(said, found.out)
    result = load_result(tmp_path / "runs" / "route-advise-1")
    [curve] = result.curves.curves
    assert curve.points[0].n == 16
    assert all(len(point.scores) == 3 for point in curve.points)
    assert curve.points[-1].mean > curve.points[0].mean
    again = stillhouse(
        "distill",
        tmp_path / "route",
        "--runs",
        tmp_path / "runs",
        "--advice",
        tmp_path / "runs" / "route-advise-1",
        "--json",
    )
    assert again.json["result"]["curves"]["curves"][0]["name"] == "linear on teacher labels"


@pytest.mark.slow
def test_a_killed_distill_goes_on_from_the_trainings_checkpoint(stillhouse, tmp_path):
    project(
        tmp_path / "route",
        ladder='"encoder:scratch:tiny"',
        student='learn_from = "gold"\nepochs = 12',
        n=500,
        n_test=150,
    )
    command = [sys.executable, "-c", "from stillhouse.student.config import TrainConfig as c;"]
    command[-1] += "c.__init__.__kwdefaults__['checkpoint_every_s'] = 0.0;"
    command[-1] += "from stillhouse.cli import main; main()"
    command += ["distill", str(tmp_path / "route"), "--runs", str(tmp_path / "runs"), "--all"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(
            (tmp_path / "runs").glob("*/arms/encoder*/.student.checkpoint-*/checkpoint.safetensors")
        ):
            time.sleep(0.02)
        process.kill()
    done = stillhouse("distill", tmp_path / "route", "--runs", tmp_path / "runs", "--all", "--json")
    assert done.code in (0, 1), done.err
    facts = json.loads(next((tmp_path / "runs").glob("route-distill-1/arms/encoder*/arm.json")).read_text())["facts"]
    assert facts["resumed_at"] is not None


@pytest.mark.slow
def test_serve_speaks_to_the_openai_client_and_stops_on_sigterm(distilled):
    folder, _ = distilled
    for flags in ([], ["--cascade"]):
        command = [
            sys.executable,
            "-m",
            "stillhouse",
            "serve",
            str(folder / "runs" / "route-distill-1"),
            "--port",
            "0",
            "--json",
            *flags,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            ready = json.loads(process.stdout.readline())
            client = openai.OpenAI(base_url=ready["base_url"], api_key="none", max_retries=0)
            assert [model.id for model in client.models.list()] == ready["models"] == ["route"]
            rows = make_rows("route", 450, 0, "test")[:20]
            answers = [
                client.chat.completions.create(model="route", messages=[{"role": "user", "content": row.input}])
                .choices[0]
                .message.content
                for row in rows
            ]
            assert sum(answer == row.label for answer, row in zip(answers, rows, strict=True)) >= 16
            with pytest.raises(openai.NotFoundError, match="route"):
                client.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])
            process.terminate()
            assert process.wait(timeout=30) == 0


@pytest.mark.slow
def test_an_open_address_demands_a_key(distilled, stillhouse):
    folder, _ = distilled
    found = stillhouse("serve", folder / "runs" / "route-distill-1", "--host", "0.0.0.0", "--port", "0")
    assert found.code == 2
    assert "STILLHOUSE_SERVE_KEY" in found.err


@pytest.mark.slow
def test_without_torch_labels_linear_students_and_reports_still_work_and_the_missing_extra_is_named(tmp_path):
    """As on a machine with `pip install stillhouse` alone."""
    project(tmp_path / "route", n=300, n_test=100)
    script = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "tokenizers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from stillhouse.cli import main
main()
"""
    for arguments in (["label", "route"], ["distill", "route", "--json"], ["report", "runs/route-distill-1"]):
        found = subprocess.run(
            [sys.executable, "-c", script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert found.returncode in (0, 1), found.stderr
        assert "Traceback" not in found.stderr
    project(tmp_path / "route", ladder='"encoder:scratch:tiny"', n=300, n_test=100)
    found = subprocess.run(
        [sys.executable, "-c", script, "distill", "route"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert "pip install 'stillhouse[train]'" in found.stderr


def test_the_version_is_the_installed_one(stillhouse):
    ran = stillhouse("--version")
    assert (ran.code, ran.out) == (0, f"{version('stillhouse')}\n")
