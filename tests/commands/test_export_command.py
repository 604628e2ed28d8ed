"""`stillhouse export`: a run's student and its card, proven or said to be unproven."""

import itertools
import json
import shutil
from pathlib import Path

import pytest

from docs_code import blocks
from moods_run import made_run
from stillhouse import export
from stillhouse.serving.run_cascade import cascade_of
from stillhouse.student.export import loading_code
from without_stillhouse import ASKS, answers

pytest.importorskip("onnxruntime")
PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a run whose cascade keeps its promise."""
    folder = tmp_path_factory.mktemp("made")
    return folder, made_run(folder, margin=0.2).folder


def about(folder):
    return json.loads((folder / "about.json").read_text())


def test_a_runs_student_goes_with_its_card_and_its_threshold(made, tmp_path, stillhouse):
    _, run = made
    ran = stillhouse("export", run, "--to", "onnx", "--out", tmp_path / "out", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["folder"] == str(tmp_path / "out")
    card = next(run.glob("arms/*/student/card.md")).read_text()
    assert (tmp_path / "out" / "README.md").read_text().startswith(card.rstrip())
    assert "## Licences" in card
    told = about(tmp_path / "out")
    assert (told["task"], told["labels"], told["unproven"]) == ("mood", ["good", "bad"], None)
    assert told["cascade"]["threshold"] == cascade_of(run).threshold
    assert set(told["cascade"]) == {"threshold", "budget", "level", "n", "teacher"}


def test_what_was_written_and_where_to_look_is_said_in_two_lines(made, tmp_path, stillhouse):
    _, run = made
    ran = stillhouse("export", run, "--to", "onnx", "--out", tmp_path / "out")
    first, second = ran.out.splitlines()
    assert first.startswith(f"Wrote {tmp_path / 'out'}: 5 files, ")
    assert second == f"{tmp_path / 'out' / 'README.md'} is its card, and has the lines of Python that load it"


def test_a_students_own_folder_is_exported_unproven_alone_and_says_so(made, tmp_path, stillhouse):
    _, run = made
    student = tmp_path / "student"
    shutil.copytree(next(run.glob("arms/*/student")), student)
    (student / "card.md").unlink()
    out = tmp_path / "out"
    ran = stillhouse("export", student, "--to", "onnx", "--out", out)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"stillhouse: {student}: a student's own folder, without its run's verdict; export its run, or export it unproven: "
        f"stillhouse export {student} --to onnx --out {out} --unproven\n"
    )
    assert not out.exists()
    assert export(student, "onnx", out, unproven=True).folder == out
    readme = (out / "README.md").read_text()
    assert readme.startswith(
        "# mood: linear\n\n**Unproven**: a student's own folder, without its run's verdict.\n\nIs it good?"
    )
    assert "so what it was measured to do is not known here" in readme
    assert (about(out)["unproven"], about(out)["cascade"]) == (
        "a student's own folder, without its run's verdict",
        None,
    )


def test_a_cascade_whose_pins_do_not_fit_gives_no_threshold(made, tmp_path):
    _, run = made
    shutil.copytree(run, tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "cascade.json").read_text())
    (tmp_path / "run" / "cascade.json").write_text(json.dumps(stored | {"threshold": 0.01}))
    export(tmp_path / "run", "onnx", tmp_path / "out")
    assert about(tmp_path / "out")["cascade"] is None


@pytest.mark.slow
def test_of_a_cascade_goes_the_student_and_the_card_says_which_answers_to_keep(tmp_path, stillhouse):
    run = made_run(tmp_path, vague=0.4).folder
    ran = stillhouse("export", run, "--to", "onnx", "--out", tmp_path / "out")
    assert (ran.code, ran.err) == (0, "")
    told = about(tmp_path / "out")
    assert told["unproven"] is None and 0 < told["cascade"]["threshold"] < 1
    readme = (tmp_path / "out" / "README.md").read_text()
    says = f"**Half of a cascade**: only answers with a confidence of at least {told['cascade']['threshold']:.6g} are to be kept; "
    assert readme.split("\n\n")[1] == f"{says}the other inputs are for {told['cascade']['teacher']}."
    stored = json.loads((run / "cascade.json").read_text())
    (run / "cascade.json").write_text(json.dumps(stored | {"threshold": 0.01}))
    refused = stillhouse("export", run, "--to", "onnx", "--out", tmp_path / "new")
    assert refused.code == 2 and "no student of this run passed its gate" in refused.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--to", "hf"), "a linear student is no model of transformers; what can be exported is linear (--to onnx)"),
        (("--to", "pickle"), "--to pickle: no such form; it is hf or onnx"),
    ],
)
def test_what_cannot_be_is_one_sentence(made, tmp_path, stillhouse, arguments, says):
    ran = stillhouse("export", made[1], *arguments, "--out", tmp_path / "out")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert says in ran.err


def test_the_pages_lines_are_those_of_the_readme_and_no_more_than_twenty():
    [lines] = blocks(PAGE, "python")
    assert lines == loading_code("linear", "onnx")
    forms = [("linear", "onnx"), *itertools.product(("encoder", "generative"), ("onnx", "hf"))]
    for family, form in forms:
        written = loading_code(family, form).splitlines()
        assert sum(bool(line.strip()) for line in written) <= 20 and max(map(len, written)) <= 120
    assert "stillhouse" in ASKS and "stillhouse" not in lines


@pytest.mark.slow
def test_the_exported_student_gives_the_runs_own_answers_on_its_test_rows(made, tmp_path):
    project, run = made
    export(run, "onnx", tmp_path / "out")
    tests = {row["id"]: row for row in map(json.loads, (project / "task" / "test.jsonl").read_text().splitlines())}
    measured = [
        row
        for row in map(json.loads, (run / "predictions.jsonl").read_text().splitlines())
        if row["arm"] == "linear on gold labels"
    ]
    assert len(measured) == len(tests) == 400
    found = answers(tmp_path / "out", [{"input": tests[row["id"]]["input"]} for row in measured])
    assert [answer for answer, _ in found] == [row["output"] for row in measured]
    assert max(abs(sure - row["confidence"]) for (_, sure), row in zip(found, measured, strict=True)) < 1e-5
