"""The programs of docs/scale.md run, on a PostgreSQL of the tests' own and a Ray on this machine."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from docs_code import blocks

PAGE = Path(__file__).parent.parent.parent / "docs" / "scale.md"


def run(program, postgres_url, folder):
    (folder / "app.py").write_text(program.replace("postgresql://shop@db.example/shop", postgres_url))
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as home:  # Ray keeps its files there
        environment = os.environ | {"HOME": home, "RAY_TMPDIR": home}
        found = subprocess.run(
            [sys.executable, "app.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()[-1]


@pytest.mark.slow
def test_the_flow_on_postgresql_gives_its_result(postgres_url, tmp_path):
    on_postgresql, _ = blocks(PAGE, "python")
    assert [run(on_postgresql, postgres_url, tmp_path) for _ in range(2)] == ["75.0", "75.0"]


@pytest.mark.slow
def test_the_map_on_ray_gives_its_results_in_order(postgres_url, tmp_path):
    pytest.importorskip("ray", reason="Ray is not here: the test on it skips; pip install 'stillhouse[scale]'")
    _, on_ray = blocks(PAGE, "python")
    assert run(on_ray, postgres_url, tmp_path) == "[36.0, 54.0]"
