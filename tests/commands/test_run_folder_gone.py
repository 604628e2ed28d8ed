"""A run's folder that somebody deletes while the command writes to it: one sentence, and nothing is paid twice."""

import json
import shutil

import pytest

from mood_task import MOOD
from stillhouse import advise, distill
from stillhouse.errors import StorageError
from stillhouse.session import Session


@pytest.fixture
def task(tmp_path, endpoint):
    settings = f'[teacher]\nmodel = "{endpoint.url()}"\n'
    (tmp_path / "task.toml").write_text(MOOD + f'test = "test.jsonl"\n[student]\nladder = ["linear"]\n{settings}')
    for name, n, first in (("rows", 80, 0), ("test", 40, 500)):
        rows = [
            {
                "id": f"{name}{i}",
                "input": f"day {first + i} was {('good', 'awful')[i % 2]}",
                "label": ("good", "bad")[i % 2],
            }
            for i in range(n)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("command", [distill, advise])
def test_it_is_noticed_said_and_gone_on_from(task, endpoint, command):
    runs = task / "runs"
    options = {"runs": runs} if command is distill else {"runs": runs, "seeds": 3, "sizes": (24, 48), "workers": 1}

    def delete(_):
        for folder in runs.glob("mood-*"):
            if not deleted:
                shutil.rmtree(folder)
                deleted.append(folder)

    deleted: list = []
    with pytest.raises(StorageError, match=r"mood-\w+-1: the folder was deleted or moved .* comes from the store"):
        command(task, Session(on_progress=delete), **options)
    paid = endpoint.calls().total()
    done = command(task, Session(), **options)
    assert deleted and done.report.is_file() and done.result.verdict
    assert endpoint.calls().total() == paid > 0
