"""A hosted teacher's notice, as a user meets it: refused without a word to the endpoint, confirmed once, remembered for every command."""

import json

import pytest

from mood_task import MOOD
from stillhouse.cli import terms as cli_terms

TASK = (
    MOOD
    + """
[teacher]
model = "{model}"
"""
)


@pytest.fixture
def hosted(endpoint, tmp_path, monkeypatch):
    """A task whose teacher answers on loopback and is taken for a provider's."""
    monkeypatch.setattr("stillhouse.teacher.terms._is_local", lambda host: False)
    (tmp_path / "task.toml").write_text(TASK.format(model=endpoint.url()))
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"input": f"day {i} was {('good', 'awful')[i % 2]}"}) + "\n" for i in range(60))
    )
    return tmp_path


@pytest.mark.parametrize("command", ["label", "distill", "advise"])
def test_without_a_confirmation_nothing_is_asked(stillhouse, endpoint, hosted, command):
    ran = stillhouse(command, hosted)
    assert ran.code == 2
    assert "read them before you train" in ran.err and "--accept-terms" in ran.err and "open weights" in ran.err
    assert endpoint.calls().total() == 0
    assert sorted(path.name for path in hosted.iterdir()) == ["rows.jsonl", "task.toml"]


def test_a_pipeline_confirms_once_and_is_remembered(stillhouse, endpoint, hosted):
    ran = stillhouse("label", hosted, "--accept-terms", "--unpriced", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["licences"] == {"terms of 127.0.0.1": 60}
    assert "the terms of 127.0.0.1" in (hosted / "card.md").read_text()
    assert ran.json["card"] == str(hosted / "card.md")
    assert stillhouse("label", hosted, "--unpriced", "--json").json["from_store"] == 60


@pytest.mark.parametrize("answer", [True, False])
def test_at_a_terminal_the_notice_is_shown_and_answered(stillhouse, endpoint, hosted, monkeypatch, answer):
    monkeypatch.setattr(cli_terms.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(cli_terms.err, "_force_terminal", True)
    asked = []
    monkeypatch.setattr(cli_terms.typer, "confirm", lambda question, err: asked.append(question) or answer)
    ran = stillhouse("label", hosted, "--unpriced", "--max-usd", "1000", "--price-in", "1", "--price-out", "1")
    assert len(asked) == 1
    assert (ran.code, endpoint.calls().total()) == ((0, 60) if answer else (2, 0))
