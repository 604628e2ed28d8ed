"""An exported folder, loaded by the lines of its README in a process where `stillhouse` cannot be imported."""

import json
import subprocess
import sys

from docs_code import blocks

ASKS = """
import json, sys
sys.modules["stillhouse"] = None  # importing it, or anything in it, now raises
sys.path.insert(0, ".")
exec(compile(sys.argv[1], "README.md", "exec"))
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps(answer(row["input"], row.get("choices"))))
"""


def loading_lines(folder):
    [lines] = blocks(folder / "README.md", "python")
    return lines


def answers(folder, rows):
    """[answer, confidence] of each row: a dict, or an Example."""
    asked = [row if isinstance(row, dict) else {"input": row.input, "choices": row.choices} for row in rows]
    ran = subprocess.run(
        [sys.executable, "-c", ASKS, loading_lines(folder)],
        cwd=folder,
        input="".join(f"{json.dumps(row)}\n" for row in asked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def check_same(folder, rows, predictions):
    """Every answer is the student's, and as sure of itself."""
    found = answers(folder, rows)
    assert [answer for answer, _ in found] == [prediction.output for prediction in predictions]
    for (_, confidence), prediction in zip(found, predictions, strict=True):
        assert prediction.confidence is None or abs(confidence - prediction.confidence) < 1e-4
