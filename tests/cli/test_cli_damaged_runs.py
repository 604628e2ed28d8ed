"""Files of a run that somebody changed or a disk tore: each command says so in one sentence, with exit code 2."""

import json
import shutil

import pytest

from mood_task import MOOD
from stillhouse.commands import serve as serving

TASK = MOOD + 'test = "test.jsonl"\n[teacher]\nmodel = "recorded:teacher.jsonl"\n[gate]\nmargin = 0.3\nharm = 0.05\n'
WORDS = {"good": ("lovely", "bright", "warm", "kind"), "bad": ("awful", "grim", "cold", "rude")}
DEEP = "[" * 10_000 + "]" * 10_000


def rows(n, what):
    labels = ("good", "bad")
    return [
        {"id": f"{what}{i}", "input": f"{what} {i} {WORDS[labels[i % 2]][i % 4]}", "label": labels[i % 2]}
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with one finished run, whose student passed its gate and whose cascade keeps its promise."""
    from stillhouse.commands.distill import distill

    folder = tmp_path_factory.mktemp("mood")
    (folder / "task.toml").write_text(
        TASK.replace('train = "rows.jsonl"', 'train = "rows.jsonl"\nsplit = [0.1, 0.3, 0.0]')
    )
    for name, some in (("rows", rows(400, "day")), ("test", rows(60, "night"))):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    answers = [{"id": row["id"], "teacher_label": row["label"]} for row in rows(400, "day") + rows(60, "night")]
    (folder / "teacher.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    run = distill(folder, runs=folder / "runs")
    assert run.result.chosen == "linear on gold labels" and (run.folder / "cascade.json").is_file()
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    folder = tmp_path / "mood"
    shutil.copytree(made, folder)
    for path in folder.rglob("*.json"):
        path.write_text(path.read_text().replace(str(made), str(folder)))

    async def nobody(*_, **__):
        """In place of the server, which would not end."""

    monkeypatch.setattr(serving, "serve_models", nobody)
    return folder


def key(*path_and_value):
    """The file's JSON with one key changed; DROP takes it out."""
    *path, value = path_and_value

    def change(file):
        lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        raw = part = json.loads(lines[0])
        for name in path[:-1]:
            part = part[name]
        if value is DROP:
            del part[path[-1]]
        else:
            part[path[-1]] = value
        file.write_text("\n".join([json.dumps(raw), *lines[1:]]) + "\n")

    return change


def text(content):
    return lambda file: file.write_bytes(content if isinstance(content, bytes) else content.encode())


def a_folder(file):
    file.unlink()
    file.mkdir()


def cut(file):
    file.write_bytes(file.read_bytes()[:-30])


def a_line_less(file):
    file.write_text("\n".join(file.read_text().split("\n")[1:]))


def a_line_twice(file):
    whole = file.read_text()
    file.write_text(whole.split("\n")[0] + "\n" + whole)


DROP = object()
ANY = {
    "emptied": text(""),
    "cut": cut,
    "nested deep": text(DEEP),
    "a list": text("[]"),
    "a number": text("9" * 5_000),
    "null": text("null"),
    "an empty object": text("{}"),
    "no text": text(b"\xff\xfe\x00"),
    "a folder": a_folder,
    "a key twice": lambda file: file.write_text('{"name": 1, "name": 2}'),
}
STUDENT = "arms/linear-on-gold-labels"
RUN = "runs/mood-distill-1"
SERVED, CASCADED = ("serve", RUN), ("serve", RUN, "--cascade")
MEASURED, MEASURED_CASCADE = ("evaluate", RUN, "test.jsonl"), ("evaluate", f"cascade:{RUN}", "test.jsonl")
RESUMED = ("distill", ".", "--runs", "runs")
COMPARED = ("compare", f"{RUN}#majority", f"{RUN}#linear on gold labels", "test.jsonl", "--people", "none")
DRAWN = ("report", RUN)
OWN = {
    "result.json": {
        "no verdict": key("verdict", DROP),
        "arms of a text": key("arms", "many"),
        "a score that is no number": key("arms", 0, "score", "value", "high"),
        "a score that is not finite": key("arms", 0, "score", "value", float("inf")),
        "a count beyond all counts": key("n_test", 10**400),
        "a key of another version": key("more", 1),
    },
    "cascade.json": {
        "no threshold": key("threshold", DROP),
        "a threshold that is true": key("threshold", True),
        "a threshold without end": key("threshold", 10**400),
        "a student outside": key("student", "../../.."),
        "a student with a null character": key("student", "a\0b"),
        "a student that is not there": key("student", "arms/nobody"),
        "a student of a number": key("student", 5),
        "a teacher of an unknown kind": key("teacher", "nobody"),
        "a task file that is not there": key("task_file", "nowhere/task.toml"),
        "another format": key("format", 2),
        "a budget of a text": key("budget", "much"),
    },
    "manifest.json": {
        "no command": key("command", DROP),
        "settings of a list": key("settings", []),
        "no moment": key("created", "yesterday"),
        "a wall time of a text": key("wall_s", "long"),
        "a wall time below zero": key("wall_s", -1),
        "a wall time without end": key("wall_s", 10**400),
        "versions of a number": key("versions", 3),
        "a version of a number": key("versions", "numpy", 3),
    },
    f"{STUDENT}/arm.json": {
        "no name": key("name", DROP),
        "another kind": key("kind", "oracle"),
        "seconds below zero": key("latencies_s", [-1.0]),
        "facts of a list": key("facts", []),
        "no facts": key("facts", {}),
        "a training without a seed": key("facts", "seed", DROP),
        "test sets outside": key("others", ["../../x"]),
        "a test set that is not there": key("others", ["more"]),
    },
    f"{STUDENT}/test.jsonl": {
        "no score": key("score", DROP),
        "a score above one": key("score", 2.0),
        "a score that is true": key("score", True),
        "an answer of a number": key("output", 5),
        "a confidence below zero": key("confidence", -1.0),
        "a row less": a_line_less,
        "a row twice": a_line_twice,
    },
    f"{STUDENT}/calibration.jsonl": {"a row less": a_line_less, "a row twice": a_line_twice},
    "predictions.jsonl": {
        "no arm": key("arm", DROP),
        "no id": key("id", DROP),
        "no output": key("output", DROP),
        "an output of a list": key("output", []),
        "every row twice": lambda file: file.write_text(file.read_text() * 2),
    },
}
COMMANDS = {
    "result.json": (SERVED, MEASURED, DRAWN),
    "cascade.json": (CASCADED, MEASURED_CASCADE),
    "manifest.json": (RESUMED,),
    f"{STUDENT}/arm.json": (SERVED, MEASURED, RESUMED),
    f"{STUDENT}/test.jsonl": (RESUMED,),
    f"{STUDENT}/calibration.jsonl": (RESUMED,),
    "predictions.jsonl": (COMPARED,),
}
CASES = [
    pytest.param(name, change, command, id=f"{name.rpartition('/')[2]} {what} {command[0]} {command[1][:7]}")
    for name, commands in COMMANDS.items()
    for what, change in (ANY | OWN[name]).items()
    for command in commands
    # Serving asks an arm for its name alone, and only a resumed run reads its rows.
    if not (what == "a test set that is not there" and command is not RESUMED)
]


def unfinished(project):
    path = project / RUN / "manifest.json"
    path.write_text(path.read_text().replace('"status": "done"', '"status": "stopped"'))


@pytest.mark.parametrize(("name", "change", "command"), CASES)
def test_a_damaged_file_is_one_sentence(project, stillhouse, monkeypatch, name, change, command):
    monkeypatch.chdir(project)
    unfinished(project)
    change(project / RUN / name)
    ran = stillhouse(*command)
    said = [line for line in ran.err.strip().splitlines() if not line.startswith(("rows for the gate", "  "))]
    assert ran.code == 2 and len(said) == 1, ran.err[-2_000:]
    assert said[0].startswith("stillhouse: ") and ";" in said[0] and len(said[0]) < 1_000


@pytest.mark.parametrize("command", [SERVED, CASCADED, MEASURED, MEASURED_CASCADE, RESUMED, COMPARED, DRAWN], ids=str)
def test_the_untouched_run_is_read_by_each_command(project, stillhouse, monkeypatch, command):
    monkeypatch.chdir(project)
    unfinished(project)
    ran = stillhouse(*command)
    assert (ran.code, "stillhouse:" in ran.err) == (0, False), ran.err[-2_000:]


@pytest.mark.slow
def test_a_run_whose_damaged_arm_is_removed_goes_on(project, stillhouse, monkeypatch):
    """The remedy that the sentence names."""
    monkeypatch.chdir(project)
    unfinished(project)
    (project / RUN / STUDENT / "arm.json").write_text("{}")
    assert f"remove {RUN}/{STUDENT}" in stillhouse(*RESUMED).err
    shutil.rmtree(project / RUN / STUDENT)
    assert stillhouse(*RESUMED).code == 0 and (project / RUN / STUDENT / "arm.json").is_file()


CURVES = "arm,n,seed,score\n" + "".join(
    f"{arm},{n},{seed},{score + seed / 100}\n"
    for arm, scores in (("a", (0.5, 0.7, 0.9)), ("b", (0.4, 0.6, 0.8)))
    for n, score in zip((16, 32, 64), scores, strict=True)
    for seed in range(3)
)


@pytest.mark.parametrize(
    "damage",
    [
        text(""),
        text(CURVES.replace("score", "points")),
        text(CURVES.partition("\n")[2]),
        text(CURVES.replace("0.5", "nan")),
        text(CURVES.replace("0.5", "1e999")),
        text(CURVES.replace(",32,", ",-32,")),
        text(CURVES.replace(",32,", ",,")),
        text(CURVES + '"'),
        text(CURVES + "a,16,0,0.5\n"),
        text(CURVES + "a,16\n"),
        text(CURVES.encode()[:40] + b"\xff"),
        a_folder,
        lambda file: file.unlink(),
    ],
)
def test_a_damaged_file_of_curves_is_one_sentence(tmp_path, stillhouse, damage):
    file = tmp_path / "curves.csv"
    file.write_text(CURVES)
    assert stillhouse("curves", file, "--better", "a", "--worse", "b").code == 0
    damage(file)
    ran = stillhouse("curves", file, "--better", "a", "--worse", "b")
    assert ran.code == 2 and len(ran.err.strip().splitlines()) == 1, ran.err
