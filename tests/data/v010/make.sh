#!/bin/bash
# Makes the files of this folder anew, with the code of version 0.1.0 (commit 23f3b9f) and, for a store of version 1,
# with the code before it had `messages` (the parent of b0f06f5). Run in the repository's root:
#   git worktree add /tmp/v010 23f3b9f; git worktree add /tmp/v1 b0f06f5^; tests/data/v010/make.sh PYTHON
set -e
PYTHON=$1 HERE=$PWD/tests/data/v010
export OMP_NUM_THREADS=1
TO=$(mktemp -d); cp "$HERE"/app.py "$HERE"/teacher.py "$TO"; cd "$TO"
stillhouse() { PYTHONPATH=$CODE/src:$TO PYTHONDONTWRITEBYTECODE=1 "$PYTHON" -m stillhouse "$@"; }

"$PYTHON" - <<'ROWS'
import json
def rows(name, n, first):
    with open(f"{name}.jsonl", "w") as file:
        for i in range(first, first + n):
            good = i % 3 != 0
            row = {"id": f"{name}{i}", "input": f"day {i} was a {'good' if good else 'grim'} one", "label": "good" if good else "bad"}
            file.write(json.dumps(row) + "\n")
rows("train", 24, 1); rows("validation", 12, 1000); rows("calibration", 150, 2000); rows("test", 30, 3000)
ROWS
cat > task.toml <<'TASK'
[task]
name = "mood"
instruction = "Is it a good day?"
output = "choice"
labels = ["good", "bad"]

[data]
train = "train.jsonl"
validation = "validation.jsonl"
calibration = "calibration.jsonl"
test = "test.jsonl"

[teacher]
model = "scripted:teacher:answer"


[student]
ladder = ["linear"]

[gate]
margin = 0.05
TASK

CODE=/tmp/v1
# That version's retries: a package that is not installed any more, and that a script in a model's place never uses.
echo "from unittest.mock import MagicMock; import sys; sys.modules[__name__] = MagicMock()" > stamina.py
head -3 train.jsonl > three.jsonl
stillhouse label . --data three.jsonl --out three.out.jsonl
"$PYTHON" -c "import sqlite3; print('\n'.join(sqlite3.connect('stillhouse.db').iterdump()))" > store-1.sql
CODE=/tmp/v010
sed -i 's/^model = .*/&\nmax_shots = 1/' task.toml
stillhouse label . --data train.jsonl
stillhouse distill . --runs runs || true
stillhouse advise . --runs runs || true
"$PYTHON" -c "import sqlite3; print('\n'.join(sqlite3.connect('stillhouse.db').iterdump()))" > store-2.sql

stillhouse run app.py:main --store journal.db --run-id done --input '{"texts": [" One ", "TWO"]}'
stillhouse run app.py:main --store journal.db --run-id parked --input '{"texts": ["it"], "ask": true}' || true
V010_HANGS=shout V010_COUNTED=$TO/counted stillhouse run app.py:main --store journal.db --run-id killed \
    --input '{"texts": ["a", "B"]}' &
until grep -q shout counted 2> /dev/null; do sleep 0.1; done
pkill -KILL -P $!; wait || true
"$PYTHON" -c "import sqlite3; print('\n'.join(sqlite3.connect('journal.db').iterdump()))" > journal.sql
rm -rf "$HERE"/project.tar.gz; find . -name .lock -delete; sed -i "s#$TO#/project#g" runs/*/*.json
tar -czf "$HERE/project.tar.gz" --sort=name --owner=0 --group=0 task.toml ./*.jsonl runs
gzip -n -9 store-2.sql; cp store-1.sql store-2.sql.gz journal.sql "$HERE"
