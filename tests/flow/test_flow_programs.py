"""Random flows, stopped at random moments and resumed: each call gets the answer of its own place, and nothing that is finished runs again."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench.flow_programs import WAYS, answer_one, drawn, problems_of, undisturbed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MOVES = st.recursive(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["call", "declined"]), st.sampled_from("ab")),
            st.sampled_from([("uuid",), ("ask",), ("late",)]),
        ),
        min_size=1,
        max_size=3,
    ),
    lambda inside: st.lists(
        st.tuples(st.sampled_from(WAYS), st.lists(inside, min_size=1, max_size=3)).map(
            lambda move: (move[0], *move[1])
        ),
        min_size=1,
        max_size=3,
    ),
    max_leaves=8,
)
STOPS = st.lists(st.integers(0, 8), max_size=5)


@pytest.mark.parametrize("seed", range(8))
def test_a_few_programs(seed, tmp_path):
    draw = random.Random(seed)
    assert problems_of(drawn(draw), iter([draw.randint(0, 6) for _ in range(3)]), tmp_path) == []


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(MOVES, STOPS)
def test_a_hundred_programs(tmp_path_factory, moves, stops):
    moves = json.loads(json.dumps(moves))
    assert problems_of(moves, iter(stops), tmp_path_factory.mktemp("program")) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [30, 36, 48, 60])
def test_a_process_that_is_killed(seed, tmp_path):
    command = [sys.executable, "-m", "bench.flow_programs", str(seed), str(tmp_path)]
    draw, done = random.Random(seed), tmp_path / "done.txt"
    for kills_left in range(40, -1, -1):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[2]
        )
        before = done.stat().st_size if done.exists() else 0
        if kills_left > 35:
            while process.poll() is None and (not done.exists() or done.stat().st_size == before):
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.01))
            process.kill()
        out, _ = process.communicate()
        if process.returncode == 0:
            break
        answer_one(tmp_path / "journal.db")
    assert json.loads(out) == {"result": undisturbed(drawn(random.Random(seed))), "problems": []}
