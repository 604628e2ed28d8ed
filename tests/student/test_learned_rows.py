"""A student's folder knows the rows that it learned from, and nothing of what stands in them."""

import json

import pytest

from stillhouse.commands import evaluate
from stillhouse.errors import UserError
from stillhouse.records import Example
from stillhouse.student import train_student
from stillhouse.student.learned_rows import BYTES, CALIBRATION, fingerprints, learned_among
from stillhouse.task import Task

MOOD = Task("mood", "?", "choice", ("good", "bad"))


def rows(start, n):
    return [
        Example(f"r{i}", f"{('lovely', 'awful')[i % 2]} day number {i}", ("good", "bad")[i % 2])
        for i in range(start, start + n)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("learned") / "student"
    train_student("linear", MOOD, rows(0, 40), rows(40, 10), source="gold", seed=0, out=out)
    return out


def test_training_and_validation_rows_are_known_again_whatever_their_case_and_no_other_is(folder):
    again = [Example("x", "LOVELY   day, number 2!"), Example("y", "awful day number 45"), Example("z", "a new day")]
    assert [row.id for row in learned_among(folder, again)] == ["x", "y"]
    assert learned_among(folder, rows(50, 20)) == []


def test_the_folder_holds_eight_bytes_a_row_and_none_of_their_text(folder):
    assert len((folder / "learned.hashes").read_bytes()) == 50 * BYTES
    assert b"lovely day" not in (folder / "learned.hashes").read_bytes()
    assert fingerprints([*rows(0, 3), *rows(0, 3)]) == fingerprints(rows(0, 3)[::-1])


def test_what_does_not_answer_is_no_weight_of_the_student(folder):
    from stillhouse.student import load_student

    listed = json.loads((folder / "student.json").read_text())["files"]
    answers = sum(entry["bytes"] for name, entry in listed.items() if name not in ("learned.hashes", "likeness.json"))
    assert load_student(folder).size_bytes == answers + (folder / "student.json").stat().st_size


def test_evaluate_refuses_rows_that_were_learned_unless_told_and_then_says_so(folder, stillhouse, tmp_path):
    def written(some):
        path = tmp_path / f"{len(some)}.jsonl"
        path.write_text("".join(json.dumps({"id": r.id, "input": r.input, "label": r.label}) + "\n" for r in some))
        return path

    refused = stillhouse("evaluate", folder, written(rows(30, 30)))
    assert refused.code == 2
    assert "20 of 30 rows are among those that the student learned from or was chosen by" in refused.err
    assert "the first is r30" in refused.err and "--anyway" in refused.err
    done = stillhouse("evaluate", folder, written(rows(30, 30)), "--anyway", "--json")
    assert done.code == 0 and any(said.startswith("measured anyway: 20 of 30") for said in done.json["warnings"])
    fresh = stillhouse("evaluate", folder, written(rows(100, 12)), "--json")
    assert fresh.code == 0 and not any("learned" in said for said in fresh.json["warnings"])


def test_a_cascade_is_not_measured_on_the_rows_that_chose_its_threshold(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "folder_of_student", lambda name: folder)
    (tmp_path / CALIBRATION).write_bytes(fingerprints(rows(100, 8)))
    name, mixed = f"cascade:{tmp_path}", rows(107, 4)
    with pytest.raises(
        UserError, match=r"1 of 4 rows is among .* was chosen by, or its threshold \(the first is r107\)"
    ):
        evaluate._learned(name, mixed, anyway=False, traffic=False)
    said, ids = evaluate._learned(name, [*mixed, *rows(49, 1)], anyway=True, traffic=False)
    assert ids == {"r107", "r49"} and said[0].startswith("measured anyway: 2 of 5 rows are among")
    assert evaluate._learned(f"student:{folder}", mixed, anyway=False, traffic=False) == ([], set())


def test_a_student_of_an_earlier_version_does_not_know_and_that_is_said(folder, stillhouse, tmp_path):
    import shutil

    old = shutil.copytree(folder, tmp_path / "old")
    (old / "learned.hashes").unlink()
    header = json.loads((old / "student.json").read_text())
    del header["files"]["learned.hashes"]
    (old / "student.json").write_text(json.dumps(header))
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"id": r.id, "input": r.input, "label": r.label}) + "\n" for r in rows(0, 5)))
    done = stillhouse("evaluate", old, data, "--json")
    assert done.code == 0 and any("is not known: an earlier version" in said for said in done.json["warnings"])
