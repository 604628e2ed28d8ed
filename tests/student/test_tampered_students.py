"""Students that somebody changed, checksums included: each is refused in one sentence, and none answers by chance."""

import hashlib
import json
import os
import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from stillhouse.errors import ArtifactError
from stillhouse.records import Example
from stillhouse.student import TrainConfig, load_student, train_student
from stillhouse.student.header import HEADER
from stillhouse.task import Task

CHOICE = Task(name="mood", instruction="Is it good?", output="choice", labels=("good", "bad"))
TEXT = Task(name="echo", instruction="Say it.", output="text", metric="exact_match")
ROWS = [Example(str(i), ("fine", "grim")[i % 2] + f" {i}", label=("good", "bad")[i % 2]) for i in range(12)]
SPECS = {
    "majority": ("majority", CHOICE),
    "linear": ("linear", CHOICE),
    "encoder": ("encoder:scratch:tiny", CHOICE),
    "prompted": ("prompted:scratch:tiny", CHOICE),
    "generative": ("generative:scratch:tiny", TEXT),
}
GROWS = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 11}
DEEP = "[" * 10_000 + "]" * 10_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One student of each family, trained once."""
    made = {}

    def student(family):
        if family not in made:
            if family not in ("linear", "majority"):
                pytest.importorskip("torch")
            out, (spec, task) = tmp_path_factory.mktemp(family) / "student", SPECS[family]
            short = None if family in ("linear", "majority") else TrainConfig(epochs=1, min_steps=1)
            train_student(spec, task, ROWS, ROWS, source="gold", seed=3, out=out, config=short)
            made[family] = out
        return made[family]

    return student


def rewritten(folder, **changes):
    """The header with these keys changed; a dotted key leads into an object, and DROP takes one out."""
    path = folder / HEADER
    raw = json.loads(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        part = raw
        for parent in parents:
            part = part[parent]
        if value is DROP:
            del part[last]
        else:
            part[last] = value
    path.write_text(json.dumps(raw))


DROP = object()


def listed(folder, *names):
    """These files listed too."""
    raw = json.loads((folder / HEADER).read_text())
    raw["files"].update({name: {"bytes": 1, "sha256": "0"} for name in names})
    (folder / HEADER).write_text(json.dumps(raw))


def emptied(folder):
    """No file listed and none there: what is listed is all there, and nothing else is."""
    rewritten(folder, files={})
    for path in folder.iterdir():
        if path.name != HEADER:
            path.unlink()


def sealed(folder):
    """The checksums written anew, as whoever changed a file would."""
    raw = json.loads((folder / HEADER).read_text())
    for name in raw["files"]:
        data = (folder / name).read_bytes()
        raw["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / HEADER).write_text(json.dumps(raw))


def header(**changes):
    """The case is refused by naming the first of these keys, unless WHY says otherwise."""

    def change(folder):
        rewritten(folder, **changes)

    change.why = re.escape(f"the key '{next(iter(changes)).replace('__', '.')}")
    return change


def text(name, content):
    def change(folder):
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        if name != HEADER:
            sealed(folder)

    return change


def cut(name, keep):
    def change(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * keep)])
        sealed(folder)

    return change


def tensors(name, edit):
    def change(folder):
        held = load_file(folder / name)
        edit(held)
        save_file({key: np.ascontiguousarray(tensor) for key, tensor in held.items()}, folder / name)
        sealed(folder)

    return change


def json_file(name, edit):
    def change(folder):
        raw = json.loads((folder / name).read_text())
        edit(raw)
        (folder / name).write_text(json.dumps(raw))
        sealed(folder)

    return change


def other_bytes(name):
    """As many of them."""

    def change(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    return change


def as_folder(name):
    def change(folder):
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def as_link(name):
    def change(folder):
        shutil.move(folder / name, folder.parent / f"elsewhere-{name}")
        (folder / name).symlink_to(folder.parent / f"elsewhere-{name}")

    return change


def nan(key):
    def edit(held):
        held[key] = np.full_like(held[key], np.nan)

    return edit


def huge(key):
    def edit(held):
        held[key] = np.full_like(held[key], 3e38)

    return edit


def one_cell(value):
    def edit(matrix):
        matrix = matrix.copy()
        matrix[-1, -1] = value
        return matrix

    return edit


def first(edit):
    """The change of a tensors' file's first matrix."""

    def change(held):
        name = next(name for name in sorted(held) if held[name].ndim == 2)
        held[name] = edit(held[name])

    return change


ANY = {
    "header emptied": text(HEADER, ""),
    "header nested deep": text(HEADER, DEEP),
    "header with a deep value": text(HEADER, '{"format": 1, "family": "linear", "settings": ' + DEEP + "}"),
    "header with NaN": text(HEADER, '{"format": NaN}'),
    "header of a huge number": text(HEADER, '{"format": ' + "9" * 5_000 + "}"),
    "header of an infinite number": text(HEADER, '{"format": 1e999}'),
    "header that is no UTF-8": text(HEADER, b"\xff\xfe{}"),
    "header that is a list": text(HEADER, "[1]"),
    "header as a folder": as_folder(HEADER),
    "header as a link": as_link(HEADER),
    "format of another type": header(format=True),
    "family of another type": header(family=["linear"]),
    "family of another": header(family="majority", spec="encoder"),
    "an added key": header(extra=1),
    "an added key in the task": header(task__extra=1),
    "an added setting": header(settings__extra=1),
    "task as a text": header(task="mood"),
    "task without a name": header(task__name=DROP),
    "unknown output": header(task__output="speech"),
    "unknown metric": header(task__metric="luck"),
    "labels as a text": header(labels="good"),
    "labels that are numbers": header(labels=[1, 2]),
    "a label twice": header(labels=["good", "good"], task__labels=None),
    "settings as a list": header(settings=[]),
    "seed as a text": header(seed="3"),
    "seed of a hundred digits": header(seed=10**100),
    "rows below one": header(n_train=-1),
    "unknown source": header(source="rumour"),
    "fields as a number": header(input_fields=3),
    "versions as a list": header(versions=[]),
    "files as a list": header(files=[]),
    "files as a number": header(files={"a": 3}),
    "an absolute path": header(files={"/etc/passwd": {"bytes": 1, "sha256": "0"}}),
    "a path outside": header(files={"a/../../b": {"bytes": 1, "sha256": "0"}}),
    "a path with a NUL": header(files={"a\0b": {"bytes": 1, "sha256": "0"}}),
    "an added file": lambda folder: (folder / "pytorch_model.bin").write_bytes(b"x"),
    "an added link": lambda folder: (folder / "more").symlink_to("/etc"),
    "an added file in a folder": lambda folder: ((folder / "sub").mkdir(), (folder / "sub" / "x").write_text("x")),
    "a pipe": lambda folder: os.mkfifo(folder / "pipe"),
}
WITH_FILES = {
    "no files listed": header(files={}),
    "size below zero": header(files={"model.safetensors": {"bytes": -1, "sha256": "0"}}),
    "weights emptied": text("model.safetensors", ""),
    "weights truncated": cut("model.safetensors", 0.5),
    "weights of zeros": text("model.safetensors", bytes(100)),
    "weights with a huge header": text("model.safetensors", b"\xff" * 16),
    "weights with a deep header": text("model.safetensors", len(DEEP).to_bytes(8, "little") + DEEP.encode()),
    "weights as a folder": as_folder("model.safetensors"),
    "weights as a link": as_link("model.safetensors"),
    "weights transposed": tensors("model.safetensors", first(lambda matrix: matrix.T[:, :1])),
    "weights cut": tensors("model.safetensors", first(lambda matrix: matrix[:-1])),
    "weights missing": tensors(
        "model.safetensors", lambda held: held.pop(next(n for n in sorted(held) if held[n].ndim == 2))
    ),
    "weights not numbers": tensors("model.safetensors", first(lambda matrix: matrix * np.nan)),
    "fewer bytes than listed": lambda folder: (folder / "model.safetensors").write_bytes(b"x"),
    "hash of other bytes": other_bytes("model.safetensors"),
}
CHOOSING = {
    "four labels": header(labels=["good", "bad", "fair", "poor"], task__labels=None),
    "one label": header(labels=["good"], task__labels=None),
    "no labels": header(labels=None),
    "other labels than the task's": header(labels=["good", "poor"]),
    "temperature of zero": header(settings__temperature=0),
    "temperature below zero": header(settings__temperature=-1.0),
    "temperature as a text": header(settings__temperature="1"),
    "temperature missing": header(settings__temperature=DROP),
    "temperature of 1e300": header(settings__temperature=1e300),
}
LINEAR = {
    "huge coefficients": tensors("model.safetensors", huge("coefficients")),
    "a huge intercept": tensors("model.safetensors", huge("intercept")),
    "a huge idf": tensors("model.safetensors", huge("idf")),
    "temperature of almost nothing": header(settings__temperature=1e-308),
    "vocabulary emptied": text("vocabulary.json", ""),
    "vocabulary nested deep": text("vocabulary.json", DEEP),
    "vocabulary of another size": json_file("vocabulary.json", lambda words: words.pop()),
    "vocabulary with a feature twice": json_file("vocabulary.json", lambda words: words.__setitem__(0, words[1])),
    "vocabulary of numbers": text("vocabulary.json", "[1, 2]"),
    "vocabulary as an object": text("vocabulary.json", "{}"),
    "idf not numbers": tensors("model.safetensors", nan("idf")),
    "idf of doubles": tensors("model.safetensors", lambda held: held.update(idf=held["idf"].astype(np.float64))),
    "another tensor": tensors("model.safetensors", lambda held: held.update(more=held["idf"])),
    "features as a text": header(settings__n_features="many"),
    "features of another number": header(settings__n_features=1),
}
NEURAL = {
    "one huge weight": tensors("model.safetensors", first(one_cell(1e38))),
    "one infinite weight": tensors("model.safetensors", first(one_cell(-np.inf))),
    "a norm that gives no numbers": json_file(
        "config.json", lambda raw: raw.update({key: -1e3 for key in raw if "norm_eps" in key})
    ),
    "config emptied": text("config.json", ""),
    "config nested deep": text("config.json", DEEP),
    "config as a list": text("config.json", "[]"),
    "config of an unknown model": json_file("config.json", lambda raw: raw.update(model_type="luck")),
    "config of a billion layers": json_file(
        "config.json", lambda raw: raw.update({key: 10**9 for key in raw if "layers" in key})
    ),
    "config of a huge vocabulary": json_file("config.json", lambda raw: raw.update(vocab_size=10**13)),
    "tokenizer emptied": text("tokenizer.json", ""),
    "tokenizer nested deep": text("tokenizer.json", '{"model": ' + DEEP + "}"),
    "tokenizer as an empty object": text("tokenizer.json", "{}"),
    "tokenizer of more words": json_file(
        "tokenizer.json", lambda raw: raw["model"]["vocab"].update({f"new{i}": 10_000 + i for i in range(9)})
    ),
    "tokenizer that makes a text grow": json_file(
        "tokenizer.json",
        lambda raw: raw.update(normalizer={"type": "Sequence", "normalizers": [GROWS, GROWS]}),
    ),
    "length below one": header(settings__max_length=0),
    "length as a text": header(settings__max_length="long"),
}
OWN = {
    "majority": {
        "counts of no answers": header(settings__counts=[]),
        "counts of another label": header(settings__counts=[["luck", 3]]),
        "a count of zero": header(settings__counts=[["good", 0]]),
        "a file listed": lambda folder: (
            (folder / "a").write_text("x"),
            listed(folder, "a"),
            sealed(folder),
        ),
    },
    "linear": WITH_FILES | CHOOSING | LINEAR,
    "encoder": WITH_FILES
    | CHOOSING
    | NEURAL
    | {
        "head emptied": text("head.safetensors", ""),
        "head of other labels": tensors(
            "head.safetensors", lambda held: held.update(weight=np.zeros((4, held["weight"].shape[1]), np.float32))
        ),
        "head not numbers": tensors("head.safetensors", nan("bias")),
        "a huge head": tensors("head.safetensors", huge("weight")),
    },
    "prompted": CHOOSING
    | NEURAL
    | {
        "a word outside the vocabulary": header(settings__words={"good": [5], "bad": [10**6]}),
        "a word of no tokens": header(settings__words={"good": [], "bad": [3]}),
        "words of other labels": header(settings__words={"good": [5], "poor": [6]}),
        "a pattern without a gap": header(settings__pattern="{input}"),
    },
    "generative": WITH_FILES
    | NEURAL
    | {
        "calibration of a text": header(settings__calibration="steep"),
        "calibration below zero": header(settings__calibration=[-1.0, 0.0]),
        "calibration of three": header(settings__calibration=[1.0, 0.0, 0.0]),
        "labels of a text": header(labels=["good", "bad"]),
        "answers without an end": header(settings__most_new_tokens=10**12),
        "no end token": json_file("tokenizer_config.json", lambda raw: raw.update(eos_token=None)),
    },
}
# What each refusal says of the case, so that a case which is refused for something else is noticed.
WHY = {
    r"not valid JSON \(Expecting value": {
        "header emptied",
        "vocabulary emptied",
        "config emptied",
        "tokenizer emptied",
    },
    r"not valid JSON \(lists and objects nested": {
        "header nested deep",
        "header with a deep value",
        "vocabulary nested deep",
        "config nested deep",
        "tokenizer nested deep",
    },
    r"not valid JSON \(NaN": {"header with NaN"},
    r"not valid JSON \(a number": {"header of a huge number", "header of an infinite number"},
    r"not valid JSON \(not UTF-8": {"header that is no UTF-8"},
    "a JSON list, where an object is needed": {"header that is a list", "config as a list"},
    r"student\.json: cannot be read \(Is a directory": {"header as a folder"},
    ": a link, and a student is made of files alone": {"header as a link", "weights as a link"},
    "format True is not known": {"format of another type"},
    "spec 'encoder' is not of the family majority": {"family of another"},
    "a label or field stands twice": {"a label twice"},
    "which is outside the student's folder": {"an absolute path", "a path outside", "a path with a NUL"},
    r"not one of the files that student\.json lists": {
        "an added file",
        "an added link",
        "an added file in a folder",
        "a pipe",
    },
    "the key 'files.a'": {"files as a number"},
    r"the key 'files\.model\.safetensors\.bytes'": {"size below zero"},
    "files does not list": {"no files listed"},
    "files lists 'a'": {"a file listed"},
    r"model\.safetensors: not a file": {"weights as a folder"},
    "not a safetensors file": {
        "weights emptied",
        "weights of zeros",
        "weights with a huge header",
        "weights with a deep header",
        "head emptied",
    },
    "file not fully covered": {"weights truncated"},
    "labels and vocabulary need|not in its files, or of another shape": {"weights transposed", "weights cut"},
    "is missing; copy|not in its files, or of another shape": {"weights missing"},
    "hold(s?) something that is no number": {
        "weights not numbers",
        "idf not numbers",
        "head not numbers",
        "one infinite weight",
    },
    "bytes where student.json says": {"fewer bytes than listed"},
    "its sha256 is not the one in student.json": {"hash of other bytes"},
    r"labels and vocabulary need|settings\.words are not those of the labels": {
        "four labels",
        "no labels",
        "words of other labels",
        "head of other labels",
        "idf of doubles",
        "features of another number",
    },
    "labels has one label": {"one label"},
    r"labels are not those of task\.labels": {"other labels than the task's"},
    "and no training gives more than": {
        "huge coefficients",
        "a huge intercept",
        "a huge idf",
        "one huge weight",
        "a huge head",
    },
    "different features, and student.json says": {"vocabulary of another size", "vocabulary with a feature twice"},
    "not a list of texts": {"vocabulary of numbers", "vocabulary as an object"},
    "the tensor 'more' is not known": {"another tensor"},
    "answers that are no numbers": {"a norm that gives no numbers"},
    "model type `luck`": {"config of an unknown model"},
    "which the weights beside it do not fill": {"config of a billion layers", "config of a huge vocabulary"},
    "added_tokens": {"tokenizer as an empty object"},
    "it makes a text 121 times as long": {"tokenizer that makes a text grow"},
    "tokens, and its weights know": {"tokenizer of more words"},
    "settings.words has 1000000": {"a word outside the vocabulary"},
    r"needs \{mask\} once": {"a pattern without a gap"},
    "settings.counts has 'luck'": {"counts of another label"},
    'where the output is "text"': {"labels of a text"},
    "no end token": {"no end token"},
}
REASONS = {name: why for why, names in WHY.items() for name in names}
assert len(REASONS) == sum(map(len, WHY.values()))
CASES = [("linear", name, change) for name, change in ANY.items()]
CASES += [(family, name, change) for family, changes in OWN.items() for name, change in changes.items()]


@pytest.mark.parametrize(("family", "name", "change"), CASES, ids=[" ".join(case[:2]) for case in CASES])
def test_a_tampered_student_is_refused_in_one_sentence(trained, tmp_path, family, name, change):
    folder = tmp_path / "student"
    shutil.copytree(trained(family), folder)
    change(folder)
    with pytest.raises(ArtifactError) as refusal:
        load_student(folder)
    message = str(refusal.value)
    assert str(folder) in message and "\n" not in message and ";" in message and len(message) < 1_000, message
    assert re.search(REASONS.get(name) or change.why, message), message
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    ("family", "change", "why"),
    [
        ("majority", OWN["majority"]["a file listed"], "lists 'a', which no majority student has"),
        ("linear", emptied, "does not list model.safetensors, which every linear student has"),
        ("encoder", emptied, "does not list config.json, which every encoder student has"),
    ],
)
def test_the_files_that_a_family_has_are_listed_and_no_others(trained, tmp_path, family, change, why):
    folder = tmp_path / "student"
    shutil.copytree(trained(family), folder)
    change(folder)
    with pytest.raises(ArtifactError, match=why):
        load_student(folder)


@pytest.mark.parametrize("family", ["encoder", "generative"])
def test_a_tokenizer_that_panics_is_refused_in_one_sentence(trained, tmp_path, family):
    """The library is in Rust, and what it panics with is no Exception."""
    panics = {"type": "Replace", "pattern": {"Regex": "(a+)+b"}, "content": "x"}
    shutil.copytree(trained(family), tmp_path / "student")
    asked = "a" * 51

    def edit(raw):
        known = {"type": "Replace", "pattern": {"String": "a"}, "content": asked}
        raw.update(normalizer={"type": "Sequence", "normalizers": [known, panics]})

    json_file("tokenizer.json", edit)(tmp_path / "student")
    with pytest.raises(ArtifactError, match="retry-limit-in-match over"):
        load_student(tmp_path / "student")


@pytest.mark.parametrize("family", SPECS)
def test_an_untouched_copy_opens_and_answers(trained, tmp_path, family):
    shutil.copytree(trained(family), tmp_path / "student")
    sealed(tmp_path / "student")
    assert load_student(tmp_path / "student").family == family
