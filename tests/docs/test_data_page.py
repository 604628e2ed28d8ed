"""The page on data: its command prints what it shows, its Python what its comments say, its settings are settings."""

import shlex
import tomllib
from pathlib import Path

from docs_code import blocks
from stillhouse.settings import DataSettings

PAGE = Path(__file__).parent.parent.parent / "docs" / "data.md"


def claims():
    lines = ["no;received;customer;message;category"]
    for k in range(60):
        says = ("arrived with a broken lid", "is not here after two weeks")[k % 2]
        label = ("damaged", "late")[k % 2] if k < 50 else ""
        lines.append(f"{k};2026-0{1 + k // 28}-{1 + k % 28:02};customer {k % 12};parcel {k} {says};{label}")
    return "\n".join(lines) + "\n"


def test_the_page_is_what_happens(tmp_path, monkeypatch, stillhouse, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims.csv").write_text(claims())
    [command] = blocks(PAGE, "sh")
    done = stillhouse(*shlex.split(command)[1:])
    assert [done.out] == blocks(PAGE, "text")
    [code] = blocks(PAGE, "python")
    exec(code, {})
    assert capsys.readouterr().out.splitlines() == [line[2:] for line in code.splitlines() if line.startswith("# ")]


def test_the_pages_settings_are_settings():
    for block in blocks(PAGE, "toml"):
        DataSettings(**tomllib.loads(block)["data"])
