"""`[data] copies` and --drop-overlap from the command line and from the library: refused, taken out, counted, judged both ways."""

import json

import pytest

from stillhouse import Session, distill
from stillhouse.data.dataset import write_examples
from stillhouse.data.splits import load_splits
from stillhouse.task import load_task

TASK = """
[task]
name = "route"
instruction = "Which?"
output = "choice"
labels = ["good", "bad"]

[data]
train = "train.jsonl"
test = "test.jsonl"
{data}

[student]
ladder = ["linear"]
learn_from = "gold"
"""


def written(folder, name, rows):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def day(part, i, label=None):
    kind = "fine" if i % 2 else "grey"
    return {"id": f"{part}{i}", "input": f"{part} {i} was {kind}", "label": label or ("good" if i % 2 else "bad")} | {
        "teacher_label": "good" if i % 2 else "bad"
    }


@pytest.fixture
def project(tmp_path):
    def write(train, test, data=""):
        (tmp_path / "task.toml").write_text(TASK.format(data=data))
        written(tmp_path, "train.jsonl", train)
        written(tmp_path, "test.jsonl", test)
        return tmp_path

    return write


TRAIN = [day("train", i) for i in range(200)]
# A third of the calls is one input that looks grey, and is good; the student learned that grey days are bad.
TRAFFIC = [day("test", i) for i in range(300)] + [
    {"id": f"often{i}", "input": "the usual one was grey", "label": "good", "teacher_label": "good"} for i in range(150)
]


@pytest.mark.parametrize(
    ("data", "kind", "decided"),
    [
        ("", "keep prompt", ["all rows"]),
        ('copies = "traffic"', "keep prompt", []),
        ('copies = "files"', "finetune", []),
    ],
    ids=["not set", "traffic", "files"],
)
def test_an_input_that_a_third_of_calls_bring_weighs_a_third_unless_the_rows_are_a_file(
    project, stillhouse, data, kind, decided
):
    folder = project(TRAIN, TRAFFIC, data)
    ran = stillhouse("distill", folder, "--runs", folder / "runs", "--json")
    result = ran.json["result"]
    linear = next(arm for arm in result["arms"] if arm["name"].startswith("linear"))
    assert (result["verdict"]["kind"], linear["gate"]["decided_by"]) == (kind, decided)
    assert linear["score"]["n"] == (301 if kind == "finetune" else 450)
    if data == "":
        assert "150 of 450 test rows" not in linear["gate"]["sentence"]
        assert "all rows: the student is -33.3 points against the teacher on 450 rows" in linear["gate"]["sentence"]
        assert "each input counted once: the student is -0.3 points against the teacher on 301 rows" in ran.out
        assert "the most frequent one 150 times" in " ".join(result["notes"])


def test_the_terminal_and_the_report_have_each_way_with_its_n(project, stillhouse):
    folder = project(TRAIN, TRAFFIC)
    ran = stillhouse("distill", folder, "--runs", folder / "runs")
    shown = " ".join(ran.out.split()).replace("\u2212", "-")
    ways = "all rows -33.3 points (n = 450), fail; each input counted once -0.3 points (n = 301), pass; decided by all rows"
    assert f"linear on gold labels against the prompt: {ways}" in shown
    page = next(folder.glob("runs/*/report.html")).read_text()
    assert "each input counted once: the student is" in page.replace(
        "\u00a0", " "
    ) and "decided by all rows" in page.replace("\u00a0", " ")


def test_overlapping_rows_are_refused_or_taken_out_of_training_and_counted(project, stillhouse):
    folder = project([*TRAIN, day("test", 3), day("test", 8)], [day("test", i) for i in range(300)])
    ran = stillhouse("distill", folder, "--runs", folder / "runs")
    assert ran.code == 2 and "--drop-overlap" in ran.err and "Traceback" not in ran.err
    ran = stillhouse("distill", folder, "--runs", folder / "runs", "--drop-overlap", "--json")
    assert (ran.code, ran.json["result"]["verdict"]["kind"]) == (0, "finetune")
    said = "2 rows to train on overlap with held-out rows and were left out (--drop-overlap)"
    assert said in ran.json["result"]["notes"]
    manifest = json.loads(next((folder / "runs").glob("*/manifest.json")).read_text())
    assert manifest["settings"]["drop_overlap"] == 2


def test_the_library_takes_overlapping_rows_out_too(project):
    folder = project([*TRAIN, day("test", 3)], [day("test", i) for i in range(300)])
    done = distill(folder, Session(), runs=folder / "runs", drop_overlap=True)
    assert done.serves and "1 rows to train on overlap" in " ".join(done.result.notes)


def test_what_copies_may_be_is_said(project, stillhouse):
    ran = stillhouse("distill", project(TRAIN, TRAFFIC, 'copies = "drop"'))
    assert ran.code == 2 and "[data] copies = 'drop'" in ran.err and "'traffic' or 'files'" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "n", "said"), [("", 301, True), ('copies = "traffic"', 450, False), ('copies = "files"', 301, False)]
)
def test_evaluate_counts_copies_as_the_task_says_and_else_says_what_they_weigh(project, stillhouse, data, n, said):
    folder = project(TRAIN, TRAFFIC, data)
    done = distill(folder, Session(), runs=folder / "runs")
    student = next(folder.glob("runs/*/arms/linear*/student"))
    ran = stillhouse("evaluate", student, folder / "test.jsonl", "--task", folder, "--json")
    assert ran.json["score"]["n"] == n and done.result.n_test == n if n == 450 else True
    weighed = "if copies are traffic, each of them weighs, and the score is 66.7 % [62.1, 71.0] (n = 450)"
    assert (weighed in ran.json["warnings"]) is said


@pytest.mark.slow
def test_in_traffic_rows_that_were_learned_are_measured_beside_those_that_are_new(project, stillhouse):
    folder = project(TRAIN, TRAFFIC, 'copies = "traffic"')
    distill(folder, Session(), runs=folder / "runs")
    student = next(folder.glob("runs/*/arms/linear*/student"))
    written(folder, "later.jsonl", [*TRAIN[:50], *TRAFFIC[:100]])
    ran = stillhouse("evaluate", student, folder / "later.jsonl", "--task", folder, "--json")
    said = " ".join(ran.json["warnings"])
    assert (ran.code, ran.json["score"]["n"]) == (0, 150)
    assert "as repeats in traffic are" in said and "did not learn from it scores 100.0 %" in said
    write_examples(folder / "learned.jsonl", load_splits(load_task(folder)).train)
    ran = stillhouse("evaluate", student, folder / "learned.jsonl", "--task", folder)
    assert ran.code == 2 and "give held-out rows" in ran.err  # no row is new


def test_a_win_rate_does_not_go_with_traffic(project, stillhouse):
    folder = project(TRAIN, TRAFFIC, 'copies = "traffic"')
    task = (
        (folder / "task.toml")
        .read_text()
        .replace('output = "choice"\nlabels = ["good", "bad"]', 'output = "text"\nmetric = "win_rate"')
    )
    (folder / "task.toml").write_text(task + '\n[gate]\njudge = "scripted:a:b"\n')
    ran = stillhouse("distill", folder)
    assert ran.code == 2 and "each input is judged once" in ran.err
