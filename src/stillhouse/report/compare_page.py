"""The result of `stillhouse compare` as one self-contained HTML file, and as `result.json`."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stillhouse import __version__
from stillhouse.errors import UserError
from stillhouse.report.comparison import shown_check
from stillhouse.report.comparison_plot import both_cuts
from stillhouse.report.page import templates
from stillhouse.results.comparison import WinRates
from stillhouse.results.record import record
from stillhouse.runs import read_json


@record
class ComparisonResult:
    """What a run of `compare` found. `facts`: what it takes to run it again, in words."""

    comparison: WinRates
    facts: Mapping[str, str | None]
    format: int = 1


@cache
def _adapter() -> TypeAdapter[ComparisonResult]:
    return TypeAdapter(ComparisonResult)


def to_dict(result: ComparisonResult) -> dict[str, Any]:
    """The result in JSON's own types."""
    raw: dict[str, Any] = _adapter().dump_python(result, mode="json")
    return raw


def from_dict(raw: Mapping[str, Any], where: str) -> ComparisonResult:
    """Read what `to_dict` wrote. Raises UserError naming `where` and the first key that does not fit."""
    try:
        return _adapter().validate_json(json.dumps(raw, allow_nan=True), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UserError(
            f"{where}: {'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}; run `stillhouse compare` again"
        ) from None


def load_comparison(run: Path) -> ComparisonResult:
    """The result in a run directory of `compare`."""
    path = run / "result.json"
    return from_dict(read_json(path), str(path))


def is_comparison(run: Path) -> bool:
    """Whether a folder is a run of `compare` that has a result."""
    return (
        (run / "manifest.json").is_file()
        and (run / "result.json").is_file()
        and read_json(run / "manifest.json").get("command") == "compare"
    )


def render_comparison(result: ComparisonResult) -> str:
    """The page."""
    found = result.comparison
    environment = templates()
    page = environment.get_template("compare.html.j2")
    return page.render(
        w=found, facts=result.facts, drawing=both_cuts(found), shown_check=shown_check, version=__version__
    )
