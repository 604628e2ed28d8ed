"""Options that several commands share, each written once, and the session that they make.

A group of options is a dataclass; a command takes a group as one argument.
"""

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stillhouse.cli import app
from stillhouse.cli.phases import Ticker
from stillhouse.errors import UserError

if TYPE_CHECKING:
    from stillhouse.session import Session
    from stillhouse.task import Task

TaskFile = Annotated[
    Path, typer.Argument(help="task.toml, the folder that holds it, or a model step of an app: APP.py:STEP")
]
Rows = Annotated[
    Path | None, typer.Option("--data", help="for a step: its rows; default: those harvested into steps/STEP")
]
Teacher = Annotated[str | None, typer.Option(help="the model to ask; default: the one that the task file names")]
Store = Annotated[
    str | None,
    typer.Option(
        help="where paid replies are kept: a file, or postgresql://...; default: stillhouse.db beside the task",
    ),
]
Journal = Annotated[
    str, typer.Option("--store", help="the journal: a file, sqlite:///FILE?synchronous=full, or postgresql://...")
]
Runs = Annotated[Path, typer.Option(help="the folder that takes the run's folder")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="leave broken rows out and count them")]
DropOverlap = Annotated[
    bool,
    typer.Option("--drop-overlap", help="take rows that overlap with held-out ones out of training, and count them"),
]
AcceptTerms = Annotated[
    bool, typer.Option("--accept-terms", help="confirm the notice on the provider's terms, for pipelines")
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN,...",
        help="which columns the rows are in: input=text,label=category,group=customer; several: input=title,body",
    ),
]
EncodingName = Annotated[
    str | None, typer.Option("--encoding", help="of the rows' file, where it is not UTF-8 or UTF-16: cp1252, ...")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What may be spent, and at which prices."""

    max_usd: Annotated[float | None, typer.Option(help="never spend more than this on the teacher")] = None
    price_in: Annotated[
        float | None, typer.Option(help="US$ per million input tokens, where no table knows the model")
    ] = None
    price_out: Annotated[float | None, typer.Option(help="US$ per million output tokens")] = None
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL=IN,OUT",
            help="a model's own price, US$ per million tokens, as for one that you host; may be given several times",
        ),
    ] = None

    @property
    def settings(self) -> dict[str, Any]:
        """The keys of [teacher] that these options stand for."""
        own = {"max_usd": self.max_usd, "price_in": self.price_in, "price_out": self.price_out}
        return own | ({"prices": _prices(self.price)} if self.price else {})


def _prices(texts: list[str]) -> dict[str, tuple[float, float]]:
    """The prices of --price by model. Raises UserError for another form."""
    prices: dict[str, tuple[float, float]] = {}
    for text in texts:
        model, _, pair = text.rpartition("=")
        try:
            price_in, price_out = map(float, pair.split(","))
        except ValueError:
            price_in = price_out = math.nan
        if not model or not (0 <= price_in < math.inf and 0 <= price_out < math.inf):
            form = "give MODEL=IN,OUT in US$ per million tokens, as in http://gpu:8000/v1#llama=0.1,0.4"
            raise UserError(f"--price {text}: is no price of a model; {form}")
        prices[model] = (price_in, price_out)
    return prices


@dataclass(frozen=True, kw_only=True)
class Buying(Spending):
    """How a bulk of calls is paid for: the cap, the prices, and consent given beforehand."""

    unpriced: Annotated[
        bool, typer.Option("--unpriced", help="go on although no price is known; the cost stays unknown")
    ] = False
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help="pay without being asked; a cap (--max-usd, or max_usd in the task) is consent as well"
        ),
    ] = False

    def session(
        self,
        task: "Path | Task | None",
        tick: Ticker,
        *,
        teacher: str | None,
        store: Path | str | None,
        **settings: Any,
    ) -> "Session":
        """The session of a command that may pay for a bulk of calls on this task; None: it has no task."""
        from stillhouse.cli.consent import CommandLine
        from stillhouse.session import Session

        session = Session(teacher=teacher, settings={**self.settings, **settings}, store=store, on_progress=tick)
        cap = self.max_usd if task is None else session.open_task(task).teacher.max_usd
        return replace(session, consent=CommandLine(tick, yes=self.yes, max_usd=cap, unpriced=self.unpriced))


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a command of `stillhouse`."""
    return command_of(app)(function)


def command_of(group: typer.Typer) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command of this group of commands. Its docstring is its help."""
    return lambda function: group.command()(_spread(function))


def _paragraphs(docstring: str) -> str:
    """The paragraphs of a docstring, each as one line however the source breaks it."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in docstring.split("\n\n"))


def _spread(function: Callable[..., None]) -> Callable[..., None]:
    """The function with each parameter that is a group spread into the options that it holds."""
    signature = inspect.signature(function)
    groups: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if is_dataclass(parameter.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name in groups:
            parameters += [
                inspect.Parameter(option.name, parameter.kind, default=option.default, annotation=option.type)
                for option in fields(groups[name])
            ]
        else:
            parameters.append(parameter)

    @functools.wraps(function)
    def called(**options: Any) -> None:
        gathered = {
            name: group(**{option.name: options.pop(option.name) for option in fields(group)})
            for name, group in groups.items()
        }
        function(**options, **gathered)

    called.__doc__ = _paragraphs(function.__doc__ or "")
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called
