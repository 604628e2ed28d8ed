"""Students that version 0.1.0 saved open and answer. `tests/data/v010/make_students.py` made them with that version."""

import hashlib
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from stillhouse.records import Example
from stillhouse.student import load_student
from stillhouse.student.header import HEADER

OLD = Path(__file__).parent.parent / "data" / "v010" / "students.tar.gz"
FAMILIES = ("majority", "linear", "encoder", "prompted", "generative")


@pytest.fixture
def student(tmp_path, request):
    """The folder of a student of that version. A network's weights are drawn anew, in that version's names and shapes."""
    family = request.param
    if family not in ("majority", "linear"):
        pytest.importorskip("torch")
    with tarfile.open(OLD) as tar:
        tar.extractall(tmp_path, filter="data")
    folder = tmp_path / family
    shapes = folder / "shapes.json"
    if shapes.exists():
        made, draw = json.loads(shapes.read_text()), np.random.default_rng(0)
        tensors = {name: draw.normal(0, 0.1, shape).astype(np.float32) for name, shape in made["shapes"].items()}
        save_file(tensors, folder / "model.safetensors", made["metadata"])
        shapes.unlink()
        data = (folder / "model.safetensors").read_bytes()
        header = json.loads((folder / HEADER).read_text())
        assert header["files"]["model.safetensors"]["bytes"] == len(data)
        header["files"]["model.safetensors"]["sha256"] = hashlib.sha256(data).hexdigest()
        (folder / HEADER).write_text(json.dumps(header))
    return folder


@pytest.mark.parametrize("student", FAMILIES, indirect=True)
async def test_it_opens_and_answers(student):
    header = json.loads((student / HEADER).read_text())
    assert header["versions"]["stillhouse"] == "0.1.0"
    opened = load_student(student)
    (prediction,) = await opened.predict([Example("a", "fine 3")])
    assert opened.family == student.name
    if student.name in ("majority", "linear"):
        assert prediction.output == "good"
    elif student.name != "generative":
        assert prediction.output in ("good", "bad")
    else:  # drawn weights write on and on
        assert prediction.output is not None or "did not end" in prediction.error
