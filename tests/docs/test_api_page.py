"""The library's page: its example runs as printed, and its tables name what is there."""

import asyncio
import dataclasses
import re
import typing
from pathlib import Path

import pytest

import stillhouse
from docs_code import blocks
from stillhouse import api
from stillhouse.commands.new import new
from stillhouse.data.dataset import write_examples
from stillhouse.demo.grammar import make_rows
from stillhouse.session import Session

PAGE = Path(__file__).parent.parent.parent / "docs" / "api.md"


@pytest.fixture
def tickets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    new(Path("tickets"))
    write_examples(Path("tickets/new.jsonl"), make_rows("route", 200, 1, "test"))


@pytest.mark.slow
def test_the_example_runs_in_a_script_and_inside_a_running_loop(tickets, capsys):
    [example] = blocks(PAGE, "python")

    async def in_a_notebook():
        exec(example, {})

    exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3000 of 3000 rows labelled"
    assert lines[1].startswith(("distil · ", "finetune · ", "cascade · "))
    assert any(re.fullmatch(r"prompt: \d+\.\d% \[.*\], n = \d+", line) for line in lines)
    assert re.fullmatch(r"\d+\.\d% of 200 new rows", lines[-2])
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1 \['tickets'\]", lines[-1])
    asyncio.run(in_a_notebook())
    again = capsys.readouterr().out.splitlines()
    assert again[:-1] == lines[:-1]


def test_the_tables_name_every_verb_and_every_field_of_a_session():
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)\(", page, flags=re.MULTILINE) == list(stillhouse.VERBS)
    fields = [field.name for field in dataclasses.fields(Session)]
    assert re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE) == fields
    for verb in stillhouse.VERBS:
        assert getattr(stillhouse, verb) is getattr(api, verb)


def test_every_field_that_the_first_table_names_is_a_field_of_what_is_returned():
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)\([^|]*\| `(\w+)` \| (.*) \|$", page, flags=re.MULTILINE)
    assert len(rows) == len(stillhouse.VERBS)
    for verb, record, fields in rows:
        returned = typing.get_type_hints(getattr(api, verb))["return"]
        assert returned.__name__ == record
        has = set(dir(returned)) | set(getattr(returned, "__dataclass_fields__", ()))
        has |= {"base_url", "names"} if record == "Server" else set()
        assert [name for name in re.findall(r"`\.(\w+)", fields) if name not in has] == []
