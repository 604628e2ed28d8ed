"""Models by name, and the keys that their endpoints need.

Keys come from the environment, here and nowhere else. They never reach a log, a trace, a report or an error.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from stillhouse.addresses import holds_secrets, without_secrets
from stillhouse.consent import Bulk, Shown
from stillhouse.errors import KeyMissingError, ModelNameError, UserError
from stillhouse.llm.batch import BatchApi, Batches
from stillhouse.llm.client import ChatClient
from stillhouse.llm.dialect import ModelDialect
from stillhouse.llm.ledger import BYTES_A_TOKEN, Budget, Ledger
from stillhouse.llm.limits import Limiter
from stillhouse.llm.metered import AT_ONCE, MeteredModel
from stillhouse.llm.prices import GivenPrices, check_prices, known_price
from stillhouse.llm.prompted import PromptedPredictor
from stillhouse.llm.recorded import RecordedTeacher
from stillhouse.llm.request import Completion, Request
from stillhouse.llm.scripted import ask_script, load_script
from stillhouse.llm.worked import worked_examples
from stillhouse.records import Example
from stillhouse.settings import ModelSettings
from stillhouse.store import Store
from stillhouse.task import Task

FORMS = "openai:NAME, anthropic:NAME, http(s)://host/v1#NAME, recorded:FILE.jsonl or scripted:module:object"
_OPENAI, _ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com"
Teacher = PromptedPredictor | RecordedTeacher


def open_teacher(
    name: str, task: Task, store: Store, *, ledger: Ledger | None = None, shots: Sequence[Example] | None = None
) -> Teacher:
    """The teacher that a name stands for, asking with this task's prompt.

    `shots` None takes the task's own worked examples. Raises ModelNameError for a name of another form or a file that
    is absent, KeyMissingError where the provider needs a key.
    """
    if name.startswith("recorded:"):
        prices = given_prices(task.teacher, name)
        price = None if prices["price_in"] is None else known_price(name, **prices)
        return RecordedTeacher(task.resolve(name.removeprefix("recorded:")), task, price)
    model = open_model(name, task.teacher, store, ledger or Ledger(task.teacher.max_usd))
    return PromptedPredictor(model, task, worked_examples(task) if shots is None else shots)


def open_model(name: str, settings: ModelSettings, store: Store, ledger: Budget) -> MeteredModel:
    """An endpoint or a script behind the store and the ledger."""
    prices = given_prices(settings, name)
    if name.startswith("scripted:"):
        script = load_script(name.removeprefix("scripted:"))

        async def ask(request: Request, example: Example | None) -> Completion:
            return await ask_script(script, request, example)

        return MeteredModel(
            name,
            ask,
            store,
            ledger,
            **prices,
            priced_as=getattr(script, "priced_as", None),
            stand_in=bool(getattr(script, "stand_in", False)),
            in_flight=lambda: settings.concurrency or AT_ONCE,
        )
    base_url, model, key = endpoint(name)
    limiter = Limiter(
        settings.concurrency,
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
        input_tokens_per_minute=settings.input_tokens_per_minute,
        output_tokens_per_minute=settings.output_tokens_per_minute,
    )
    # OpenAI's own API takes max_tokens by its newer name, for every chat model. What other endpoints take shows only
    # when they are asked.
    dialect = ModelDialect(name, ("max_tokens",) if base_url == _OPENAI else ())
    client = ChatClient(base_url, model, key, limiter, dialect=dialect)

    async def send(request: Request, _: Example | None) -> Completion:
        return await client.complete(request)

    return MeteredModel(
        name,
        send,
        store,
        ledger,
        **prices,
        bills=True,
        close=client.close,
        in_flight=lambda: limiter.in_flight,
        dialect=dialect,
    )


def given_prices(settings: ModelSettings, name: str) -> GivenPrices:
    """The user's own prices of a model, checked before anything is paid for; all None where there are none."""
    if (own := settings.prices.get(name)) is not None:
        return GivenPrices(price_in=own[0], price_out=own[1], price_cached=None, price_written=None)
    prices = GivenPrices(
        price_in=settings.price_in,
        price_out=settings.price_out,
        price_cached=settings.price_cached,
        price_written=settings.price_written,
    )
    check_prices(**prices)
    if (prices["price_in"] is None) != (prices["price_out"] is None):
        raise UserError(
            "a price for input tokens alone, or for output tokens alone, prices no call; "
            "give both --price-in and --price-out"
        )
    if prices["price_in"] is None and (prices["price_cached"] is not None or prices["price_written"] is not None):
        raise UserError(
            "price_cached and price_written go with prices of one's own; "
            "give price_in and price_out in [teacher] as well"
        )
    return prices


def later_calls(
    name: str, settings: ModelSettings, n: int, prompt_bytes: Callable[[float], float], reply_bytes: float | None = None
) -> Bulk | None:
    """At most `n` calls that this model will get; None: it bills nobody, or there are none.

    `prompt_bytes`: the mean length of a prompt, given the mean length of the answers made before. `reply_bytes` None: a
    reply is as long as those answers.
    """
    if not name.startswith(KEYED) or not n:
        return None
    own = given_prices(settings, name)
    price = known_price(name, **own)

    def cost_usd(shown: Shown) -> float | None:
        if price is None or shown.answer_bytes is None:
            return None
        n_output = (shown.answer_bytes if reply_bytes is None else reply_bytes) / BYTES_A_TOKEN
        n_input = prompt_bytes(shown.answer_bytes) / BYTES_A_TOKEN
        return n * (n_input * price.input_usd_per_m + n_output * price.output_usd_per_m) / 1e6

    return Bulk(n, name, None if price is None else price.snapshot, cost_usd)


def open_batches(name: str, teacher: Teacher, ledger: Ledger, path: Path, on_done: Callable[[int], None]) -> Batches:
    """The batches of an endpoint: by Anthropic's API for `anthropic:NAME`, by OpenAI's for all others.

    Raises UserError for a model that is no endpoint.
    """
    from stillhouse.llm.batch_anthropic import VERSION, AnthropicBatches
    from stillhouse.llm.batch_http import BatchHttp
    from stillhouse.llm.batch_openai import OpenAIBatches

    if isinstance(teacher, RecordedTeacher) or not isinstance(teacher.model, MeteredModel) or not teacher.model.bills:
        raise UserError(f"{name}: --batch is for endpoints with a batch API; label without it")
    base_url, model, key = endpoint(name)
    dialect = teacher.model.dialect
    api: BatchApi
    if name.startswith("anthropic:"):
        headers = {"x-api-key": key or "", "anthropic-version": VERSION}
        api = AnthropicBatches(BatchHttp(base_url, headers, key), model, dialect)
    else:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        api = OpenAIBatches(BatchHttp(base_url, headers, key), model, dialect)
    return Batches(teacher.model, ledger, api, path, on_done=on_done)


KEYED = ("openai:", "anthropic:", "http://", "https://")  # how the names of endpoints begin


def endpoint(name: str) -> tuple[str, str, str | None]:
    """(base URL, model, key) of `openai:NAME`, `anthropic:NAME` or `http(s)://host/v1#NAME`.

    All three speak OpenAI's protocol, Anthropic too. Raises ModelNameError, also for an address that holds a key or a
    password: it would stand in every file that names the model.
    """
    if name.startswith("openai:") and name.removeprefix("openai:"):
        key = _key("OPENAI_API_KEY")
        if not key:
            raise KeyMissingError(f"{name} needs a key; set the environment variable OPENAI_API_KEY")
        return str(base_url_of(name)), name.removeprefix("openai:"), key
    if name.startswith("anthropic:") and name.removeprefix("anthropic:"):
        key = _key("ANTHROPIC_API_KEY")
        if not key:
            raise KeyMissingError(f"{name} needs a key; set the environment variable ANTHROPIC_API_KEY")
        return str(base_url_of(name)), name.removeprefix("anthropic:"), key
    if name.startswith(("http://", "https://")):
        url, model = str(base_url_of(name)), name.partition("#")[2]
        if not model:
            raise ModelNameError(f"{name}: names no model; write it after a #, as in {url}#NAME")
        return url, model, _key("STILLHOUSE_API_KEY")
    raise ModelNameError(f"{name!r} is not a model's name; use {FORMS}")


def base_url_of(name: str) -> str | None:
    """The address to which a model's requests go; None for recorded answers and scripts. It needs no key to say so."""
    if name.startswith("openai:"):
        return _open_address("OPENAI_BASE_URL", os.environ.get("OPENAI_BASE_URL", _OPENAI), "OPENAI_API_KEY")
    if name.startswith("anthropic:"):
        url = os.environ.get("ANTHROPIC_BASE_URL", _ANTHROPIC)
        return f"{_open_address('ANTHROPIC_BASE_URL', url, 'ANTHROPIC_API_KEY').rstrip('/')}/v1"
    if not name.startswith(("http://", "https://")):
        return None
    return _open_address("the model's name", name, "STILLHOUSE_API_KEY").partition("#")[0]


def _open_address(where: str, address: str, variable: str) -> str:
    """The address, which holds no secret. Raises ModelNameError."""
    if holds_secrets(address):
        raise ModelNameError(
            f"{where} ({without_secrets(address)}) holds a user, a password or a key; leave out what stands before "
            f"the @ and after the ?, and put the key into the environment variable {variable}"
        )
    return address


def _key(variable: str) -> str | None:
    """The key without the line's end that a file left on it. Raises KeyMissingError for what no header can carry."""
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable():
        raise KeyMissingError(f"{variable} holds characters that no key has; set it again")
    return key or None
