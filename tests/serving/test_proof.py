"""Which models are proven, and what is said and served of the others."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from moods_run import made_run
from stillhouse.cli.distill import Measuring
from stillhouse.commands import serve as serving

STUDENT = "arms/linear-on-gold-labels/student"


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A run whose calibration rows promise at most 2 % harm, and whose test rows show three times that.

    Every eighth of them means the opposite of its words.
    """
    return made_run(tmp_path_factory.mktemp("broken"), broken=0.125)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def served(monkeypatch):
    served = {}

    async def note(models, *, unproven, on_ready, **_):
        served.update({name: (model, unproven.get(name)) for name, model in models.items()})
        on_ready("http://127.0.0.1:1/v1")

    monkeypatch.setattr(serving, "serve_models", note)
    return served


def test_no_cascade_is_written_where_the_test_rows_break_its_promise(broken):
    promise = broken.result.cascade
    assert promise.budget == 0.02 and promise.harm.high <= 0.02 and promise.threshold is not None
    assert "of the test rows (n = 400)" in promise.not_served and "promised 2.0%" in promise.not_served
    assert not (broken.folder / "cascade.json").exists()
    assert not broken.serves and broken.serve_command is None


@pytest.mark.parametrize("way", [(), ("--cascade",)], ids=["alone", "cascade"])
def test_a_run_whose_verdict_refuses_says_so_and_is_served_as_unproven_alone(broken, stillhouse, served, way):
    refused = stillhouse("serve", broken.folder, *way)
    assert refused.code == 2 and len(refused.err.strip().splitlines()) == 1 and not served
    assert f'"{broken.result.verdict.kind}"' in refused.err
    verdict = broken.result
    assert (verdict.cascade.not_served if way else verdict.verdict.sentence.rstrip(".")) in refused.err
    assert ("--cascade" in refused.err) == bool(way)
    command = refused.err.partition("unproven: stillhouse ")[2].split()
    assert command == ["serve", str(broken.folder), *way, "--unproven"]
    told = stillhouse(*command)
    assert told.code == 0 and "mood (unproven)" in told.err and "every answer says so" in told.err
    assert served["mood"][1] is not None
    assert str(broken.folder) not in served["mood"][1]  # clients are told it, and a path is no concern of theirs


def test_what_is_proven_needs_no_flag_and_is_not_called_unproven(sound, stillhouse, served):
    assert sound.serve_command == f"stillhouse serve {sound.folder}"
    for way in ((), ("--cascade",), ("--unproven",), ("--cascade", "--unproven")):
        told = stillhouse("serve", sound.folder, *way)
        assert told.code == 0 and "unproven" not in told.err
        assert served.pop("mood")[1] is None
    assert stillhouse("serve", f"{sound.folder}#linear on gold labels").code == 0
    assert served["mood"][1] is None


@pytest.mark.slow
def test_what_distill_prints_to_go_on_with_serves_its_cascade(tmp_path, stillhouse, served, monkeypatch):
    """The student is right where it is sure, and knows nothing of the rest."""
    monkeypatch.chdir(tmp_path)
    made_run(tmp_path, vague=0.4)
    told = stillhouse("distill", "task", "--runs", "the runs")
    (line,) = [line for line in told.out.splitlines() if line.startswith("next: stillhouse ")]
    assert line == "next: stillhouse serve 'the runs/mood-distill-1' --cascade"
    assert stillhouse(*shlex.split(line)[2:]).code == 0
    assert served["mood"][1] is None
    alone = stillhouse("serve", "the runs/mood-distill-1")
    assert alone.code == 2 and "serve its cascade: stillhouse serve 'the runs/mood-distill-1' --cascade" in alone.err


def test_the_next_command_after_advise_asks_the_same_teacher_on_the_same_rows():
    measuring = Measuring(store="s.db", runs=Path("my runs"), max_usd=2.5, skip_bad=True)
    assert shlex.join(measuring.again(Path("rows.jsonl"), "openai:gpt-4o")) == (
        "--data rows.jsonl --teacher openai:gpt-4o --store s.db --runs 'my runs' --max-usd 2.5 --skip-bad"
    )
    assert Measuring().again(None, None) == []


def test_a_cascade_whose_teacher_came_with_the_rows_has_nobody_to_ask(tmp_path, stillhouse, served):
    done = made_run(tmp_path, vague=0.4, in_the_rows=True)
    assert done.result.verdict.kind == "cascade" and done.serve_command is None
    assert not (done.folder / "cascade.json").exists()
    refused = stillhouse("serve", done.folder, "--cascade")
    assert refused.code == 2 and "nobody is there to ask" in refused.err and not served


def own_folder(run):
    return run / STUDENT


def without_pins(run):
    raw = json.loads((run / "cascade.json").read_text())
    del raw["pins"]
    (run / "cascade.json").write_text(json.dumps(raw))
    return run


def without_a_student_pin(run):
    arm = run / STUDENT / ".." / "arm.json"
    raw = json.loads(arm.read_text())
    del raw["student"]
    arm.write_text(json.dumps(raw))
    return run


@pytest.mark.parametrize(
    ("change", "way", "why"),
    [
        (own_folder, (), "a student's own folder"),
        (without_a_student_pin, (), "pinned no student"),
        (without_pins, ("--cascade",), "pinned nothing"),
    ],
)
def test_what_nothing_proves_needs_the_flag(sound, tmp_path, stillhouse, served, change, way, why):
    shutil.copytree(sound.folder, tmp_path / "run")
    place = change(tmp_path / "run")
    refused = stillhouse("serve", place, *way)
    assert refused.code == 2 and why in refused.err and "--unproven" in refused.err and not served
    assert stillhouse("serve", place, *way, "--unproven").code == 0
    assert why in served["mood"][1]


def test_a_run_without_a_prompt_proves_nothing(tmp_path, stillhouse, served):
    done = made_run(tmp_path, prompt=False)
    refused = stillhouse("serve", done.folder)
    assert refused.code == 2 and "No prompt was measured" in refused.err and "--unproven" in refused.err
    assert stillhouse("serve", done.folder, "--unproven").code == 0 and served["mood"][1]
    none = stillhouse("serve", done.folder, "--cascade", "--unproven")
    assert none.code == 2 and "measured no cascade" in none.err


def test_an_arm_that_did_not_pass_is_named_with_its_gate(broken, stillhouse, served):
    refused = stillhouse("serve", f"{broken.folder}#linear on gold labels")
    assert refused.code == 2 and "its gate says 'fail'" in refused.err
    nobody = stillhouse("serve", f"{broken.folder}#nobody", "--unproven")
    assert nobody.code == 2 and "has no student 'nobody'; it has linear on gold labels" in nobody.err


def test_a_folder_that_is_no_student_is_called_so(tmp_path, stillhouse):
    (tmp_path / "empty").mkdir()
    assert "not a student" in stillhouse("serve", tmp_path / "empty").err
