"""Makes students.tar.gz anew, with the code of version 0.1.0: a tiny student of each family, as that version saved it.

    git worktree add /tmp/v010 23f3b9f; PYTHONPATH=/tmp/v010/src python tests/data/v010/make_students.py

Weights of networks are too large to keep: `shapes.json` has the names and shapes of their tensors.
"""

import json
import tarfile
import tempfile
from pathlib import Path

from safetensors import safe_open

from stillhouse.records import Example
from stillhouse.student import TrainConfig, train_student
from stillhouse.task import Task

CHOICE = Task(name="mood", instruction="Is it good?", output="choice", labels=("good", "bad"))
TEXT = Task(name="echo", instruction="Say it.", output="text", metric="exact_match")
ROWS = [Example(str(i), ("fine", "grim")[i % 2] + f" {i}", label=("good", "bad")[i % 2]) for i in range(12)]
SPECS = ("majority", "linear", "encoder:scratch:tiny", "prompted:scratch:tiny", "generative:scratch:tiny")

if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp())
    for spec in SPECS:
        family, _, base = spec.partition(":")
        task, config = TEXT if family == "generative" else CHOICE, TrainConfig(epochs=1, min_steps=1) if base else None
        train_student(spec, task, ROWS, ROWS, source="gold", seed=3, out=folder / family, config=config)
        weights = folder / family / "model.safetensors"
        if base:
            with safe_open(weights, "np") as file:
                shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
                made = {"metadata": file.metadata(), "shapes": shapes}
            weights.with_name("shapes.json").write_text(json.dumps(made))
            weights.unlink()
    with tarfile.open(Path(__file__).with_name("students.tar.gz"), "w:gz") as tar:
        tar.add(folder, ".")
