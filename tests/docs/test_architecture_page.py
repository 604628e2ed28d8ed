"""The architecture's page names what is there: every package in the picture, every path in the text."""

import re
from pathlib import Path

import stillhouse

ROOT = Path(__file__).parent.parent.parent
SRC = Path(stillhouse.__file__).parent


def test_the_picture_has_every_package_and_no_other():
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    drawn = set(re.findall(r'class="n"[^>]*>([^<]+)<', picture))
    base = set(next(name for name in drawn if " " in name).split())
    packages = {path.name for path in SRC.iterdir() if (path / "__init__.py").is_file()}
    assert {name for name in drawn if " " not in name} == packages
    assert all((SRC / f"{name}.py").is_file() for name in base)


def test_every_path_that_the_page_names_is_there():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_]+(?:/[a-z_.0-9]*)*(?:\.py|/|\.j2|\.md))`", page)
    assert len(named) > 15
    assert [path for path in named if not (SRC / path).exists() and not (ROOT / path).exists()] == []
