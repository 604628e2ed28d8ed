"""The student on disk: whole or not at all, and refused with the file's name when anything about it is wrong."""

import json

import pytest

from stillhouse.errors import ArtifactError
from stillhouse.records import Example
from stillhouse.student import load_student, train_student
from stillhouse.student.artifact import HEADER, Header, Student, read_artifact, save_artifact
from stillhouse.task import Task

TASK = Task(name="mood", instruction="Is it good?", output="choice", labels=("good", "bad"))
ROWS = [Example(id=str(i), input=("fine", "grim")[i % 2] + f" {i}", label=("good", "bad")[i % 2]) for i in range(12)]


@pytest.fixture
def folder(tmp_path):
    train_student("linear", TASK, ROWS, ROWS, source="gold", seed=3, out=tmp_path / "student")
    return tmp_path / "student"


def edit_header(folder, **changes):
    path = folder / HEADER
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_header_says_what_the_student_is(folder):
    header = read_artifact(folder)
    assert (header.family, header.spec, header.labels, header.source, header.seed, header.n_train) == (
        "linear",
        "linear",
        ("good", "bad"),
        "gold",
        3,
        12,
    )
    assert (header.task.name, header.task.instruction, header.task.output, header.task.metric) == (
        "mood",
        "Is it good?",
        "choice",
        "accuracy",
    )
    raw = json.loads((folder / HEADER).read_text())
    assert raw["format"] == 1 and set(raw["files"]) == {
        "model.safetensors",
        "vocabulary.json",
        "learned.hashes",
        "likeness.json",
    }
    assert raw["versions"]["scikit-learn"]


def test_a_student_is_readable_by_others_and_nothing_is_left_beside_it(folder):
    assert [path.name for path in folder.parent.iterdir()] == ["student"]
    assert folder.stat().st_mode & 0o777 == 0o755
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in folder.iterdir())


def test_a_card_that_is_added_later_is_no_damage(folder):
    size = load_student(folder).size_bytes
    (folder / "card.md").write_text("# A student")
    student = load_student(folder)
    assert isinstance(student, Student) and student.size_bytes == size


def test_a_flipped_byte_is_found(folder):
    path = folder / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(
        ArtifactError,
        match=r"model\.safetensors: its sha256 is not the one in student\.json.*copy the folder again or train it again",
    ):
        load_student(folder)


def test_a_torn_copy_is_found(folder):
    path = folder / "vocabulary.json"
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(
        ArtifactError, match=r"vocabulary\.json: 10 bytes where student\.json says \d+: the copy is torn"
    ):
        load_student(folder)


def test_a_missing_file_is_found(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"model\.safetensors: missing from the student"):
        load_student(folder)


@pytest.mark.parametrize("version", [2, "1", None])
def test_an_unknown_format_says_which_one_is_known(folder, version):
    edit_header(folder, format=version)
    with pytest.raises(
        ArtifactError, match=rf"format {version!r} is not known to this version, which reads format 1; upgrade"
    ):
        load_student(folder)


@pytest.mark.parametrize("text", ["{torn", "[]", '"x"'])
def test_a_header_that_is_no_header_is_named(folder, text):
    (folder / HEADER).write_text(text)
    with pytest.raises(ArtifactError, match=r"student\.json: "):
        load_student(folder)


@pytest.mark.parametrize("key", ["task", "files", "labels", "settings"])
def test_a_header_without_a_key_names_the_key(folder, key):
    raw = json.loads((folder / HEADER).read_text())
    del raw[key]
    (folder / HEADER).write_text(json.dumps(raw))
    with pytest.raises(ArtifactError, match=f"the key '{key}' is missing or wrong"):
        load_student(folder)


def test_an_unknown_family_is_refused(folder):
    edit_header(folder, family="../../evil")
    with pytest.raises(ArtifactError, match=r"family '\.\./\.\./evil' is not known"):
        load_student(folder)


def test_a_file_outside_the_folder_is_refused(folder):
    (folder.parent / "secret").write_text("x")
    edit_header(folder, files={"../secret": {"bytes": 1, "sha256": "0"}})
    with pytest.raises(ArtifactError, match="outside the student's folder"):
        load_student(folder)


@pytest.mark.parametrize("name", ["", "nothing/here"])
def test_a_folder_that_is_no_student_is_named(tmp_path, name):
    with pytest.raises(ArtifactError, match=r"not a student \(no student\.json\)"):
        load_student(tmp_path / name)


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path):
    def half(folder):
        (folder / "first").write_text("written")
        raise RuntimeError("killed")

    header = Header(family="linear", spec="linear", task=TASK, labels=TASK.labels, source="gold", seed=0, n_train=1)
    with pytest.raises(RuntimeError):
        save_artifact(tmp_path / "out", header, half)
    assert list(tmp_path.iterdir()) == []


def test_the_names_of_the_inputs_fields_are_kept_in_order(tmp_path):
    rows = [Example(row.id, {"title": row.text, "body": "x"}, label=row.label) for row in ROWS]
    train_student("linear", TASK, rows, rows, source="gold", seed=3, out=tmp_path / "fields")
    assert load_student(tmp_path / "fields").input_fields == ("title", "body")
    train_student("linear", TASK, [*rows[:6], *ROWS[6:]], rows, source="gold", seed=3, out=tmp_path / "mixed")
    assert load_student(tmp_path / "mixed").input_fields is None


def test_plain_texts_have_no_fields(folder):
    assert load_student(folder).input_fields == ()
