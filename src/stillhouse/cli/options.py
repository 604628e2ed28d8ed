"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

TaskFile = Annotated[
    Path, typer.Argument(help="task.toml, the folder that holds it, or a model step of an app: APP.py:STEP")
]
Rows = Annotated[
    Path | None, typer.Option("--data", help="for a step: its rows; default: those harvested into steps/STEP")
]
Teacher = Annotated[str | None, typer.Option(help="the model to ask; default: the one that the task file names")]
MaxUsd = Annotated[float | None, typer.Option(help="never spend more than this on the teacher")]
PriceIn = Annotated[float | None, typer.Option(help="US$ per million input tokens, where no table knows the model")]
PriceOut = Annotated[float | None, typer.Option(help="US$ per million output tokens")]
Unpriced = Annotated[bool, typer.Option("--unpriced", help="go on although no price is known; the cost stays unknown")]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes", "-y", help="pay without being asked; a cap (--max-usd, or max_usd in the task) is consent as well"
    ),
]
Store = Annotated[Path | None, typer.Option(help="where paid replies are kept; default: stillhouse.db beside the task")]
Runs = Annotated[Path, typer.Option(help="the folder that takes the run's folder")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="leave broken rows out and count them")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]
