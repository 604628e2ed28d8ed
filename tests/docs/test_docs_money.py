"""docs/money.md: its code prints what it says, and the keys it names are those of the task file."""

import contextlib
import io
import re
from pathlib import Path

from docs_code import blocks
from stillhouse.task import Task

PAGE = Path(__file__).parent.parent.parent / "docs" / "money.md"


def test_the_code_prints_what_the_page_says():
    scope, said = {}, blocks(PAGE, "")
    code = blocks(PAGE, "python")
    assert len(code) == len(said)
    for block, text in zip(code, said, strict=True):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(block, scope)
        assert printed.getvalue() == text


def test_every_key_of_money_is_in_the_table_and_no_other():
    table = [
        line.split("|")[1]
        for line in PAGE.read_text(encoding="utf-8").split("## The keys of")[1].splitlines()
        if line.startswith("| `")
    ]
    assert {key for cell in table for key in re.findall(r"`(\w+)`", cell)} == set(
        type(Task("t", "i", "text").money).model_fields
    )
