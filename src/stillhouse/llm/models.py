"""Models by name. Keys come from the environment, here and nowhere else, and never reach a log, a trace, a report or an error."""

import json
import os
from collections.abc import Sequence

from stillhouse.errors import KeyMissingError, ModelNameError, TaskFileError, UserError
from stillhouse.llm.client import ChatClient
from stillhouse.llm.ledger import Budget, Ledger
from stillhouse.llm.limits import Limiter
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.prices import GivenPrices, check_prices, known_price
from stillhouse.llm.prompted import PromptedPredictor
from stillhouse.llm.recorded import RecordedTeacher
from stillhouse.llm.request import Completion, Request
from stillhouse.llm.scripted import ask_script, load_script
from stillhouse.records import Example
from stillhouse.store import Store
from stillhouse.task import Task

FORMS = "openai:NAME, http(s)://host/v1#NAME, recorded:FILE.jsonl or scripted:module:object"
Teacher = PromptedPredictor | RecordedTeacher


def open_teacher(name: str, task: Task, store: Store, *, ledger: Ledger | None = None, shots: Sequence[Example] | None = None) -> Teacher:
    """The teacher that a name stands for, asking with this task's prompt; `shots` None takes the task's own worked examples.

    Raises ModelNameError for a name of another form or a file that is absent, KeyMissingError where the provider needs a key.
    """
    if name.startswith("recorded:"):
        given = given_prices(task)
        return RecordedTeacher(task.resolve(name.removeprefix("recorded:")), None if given["price_in"] is None else known_price(name, **given))
    model = open_model(name, task, store, ledger or Ledger(task.teacher.max_usd))
    return PromptedPredictor(model, task, worked_examples(task) if shots is None else shots)


def open_model(name: str, task: Task, store: Store, ledger: Budget) -> MeteredModel:
    """An endpoint or a script behind the store and the ledger."""
    given = given_prices(task)
    if name.startswith("scripted:"):
        script = load_script(name.removeprefix("scripted:"))

        async def ask(request: Request, example: Example | None) -> Completion:
            return await ask_script(script, request, example)

        return MeteredModel(
            name,
            ask,
            store,
            ledger,
            **given,
            priced_as=getattr(script, "priced_as", None),
            stand_in=bool(getattr(script, "stand_in", False)),
        )
    base_url, model, key = endpoint(name)
    client = ChatClient(base_url, model, key, Limiter(task.teacher.concurrency))

    async def send(request: Request, _: Example | None) -> Completion:
        return await client.complete(request)

    return MeteredModel(name, send, store, ledger, **given, close=client.close)


def given_prices(task: Task) -> GivenPrices:
    """The user's own prices, checked before anything is paid for; all None where there are none."""
    settings = task.teacher
    given = GivenPrices(
        price_in=settings.price_in, price_out=settings.price_out, price_cached=settings.price_cached, price_written=settings.price_written
    )
    check_prices(**given)
    if (given["price_in"] is None) != (given["price_out"] is None):
        raise UserError("a price for input tokens alone, or for output tokens alone, prices no call; give both --price-in and --price-out")
    if given["price_in"] is None and (given["price_cached"] is not None or given["price_written"] is not None):
        raise UserError("price_cached and price_written go with prices of one's own; give price_in and price_out in [teacher] as well")
    return given


def endpoint(name: str) -> tuple[str, str, str | None]:
    """(base URL, model, key) of `openai:NAME` or `http(s)://host/v1#NAME`."""
    if name.startswith("openai:") and name.removeprefix("openai:"):
        key = os.environ.get("OPENAI_API_KEY")
        if not key:
            raise KeyMissingError(f"{name} needs a key; set the environment variable OPENAI_API_KEY")
        return os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"), name.removeprefix("openai:"), key
    if name.startswith(("http://", "https://")):
        url, _, model = name.partition("#")
        if not model:
            raise ModelNameError(f"{name}: names no model; write it after a #, as in {url}#NAME")
        return url, model, os.environ.get("STILLHOUSE_API_KEY")
    raise ModelNameError(f"{name!r} is not a model's name; use {FORMS}")


def worked_examples(task: Task) -> tuple[Example, ...]:
    """The rows of `[teacher] examples`: `input`, `label`, and `rationale` where the teacher is asked for reasons."""
    if task.teacher.examples is None:
        return ()
    path = task.resolve(task.teacher.examples)
    if not path.is_file():
        raise TaskFileError(f"{path}: no such file of worked examples; mend `examples` in [teacher]")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise TaskFileError(f"{path}: not valid UTF-8 ({error}); mend the file of worked examples") from None
    shots = []
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
            choices = tuple(row["choices"]) if row.get("choices") else None
            shots.append(Example(f"worked {line}", row["input"], str(row["label"]), None, row.get("rationale"), choices))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TaskFileError(f"{path}:{line}: a worked example needs `input` and `label` ({error}); mend the row") from None
    return tuple(shots)
