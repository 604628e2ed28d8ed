"""What an agent's model requests use, told to the flow around it.

The flow's limits are asked before a request; its trace and its limits are told what the request used.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from genai_prices.data_snapshot import get_snapshot
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import AbstractModel
from pydantic_ai.settings import ModelSettings

from stillhouse.flow.allowance import RunBudget
from stillhouse.flow.call import active_limits
from stillhouse.flow.model_step import note
from stillhouse.flow.models import note_use
from stillhouse.interop.pydantic_ai.student_model import SYSTEM
from stillhouse.llm.prices import call_cost, known_price
from stillhouse.llm.request import Request
from stillhouse.records import Usage
from stillhouse.stopping import PaidCall


@asynccontextmanager
async def within_limits(model: AbstractModel, settings: ModelSettings | None, *prompt: object) -> AsyncIterator[None]:
    """Set aside what this request may cost at most while it is under way. Raises LimitExceeded, PriceUnknownError."""
    # A student costs nothing a call, and a cascade's teacher keeps to the task's own budget.
    if not active_limits.get() or model.system == SYSTEM:
        yield
        return
    budget, name = RunBudget(), _listed_as(model.model_name, model.base_url)
    parameters = {"max_tokens": (settings or {}).get("max_tokens")}
    request = Request(name or model.model_name, ({"role": "user", "content": str(prompt)},), parameters)
    price = known_price(name) if name is not None and budget.max_usd is not None else None
    reserved = await budget.reserve(request, price)
    try:
        yield
    finally:
        await budget.settle(reserved, None, paid=False)


@asynccontextmanager
async def in_flight(model: AbstractModel) -> AsyncIterator[None]:
    """A request that somebody is paid for: it is waited for where the process is stopped (`stopping`)."""
    if model.system == SYSTEM:  # a cascade's teacher is asked through the store, which counts it
        yield
        return
    with PaidCall() as call:
        await call.begins()
        yield


def note_response(response: ModelResponse) -> None:
    """Add a reply to the facts of the call that is running, and to the limits around it."""
    used, usage = response.usage, Usage()
    if not used.unmeasured_requests:
        usage = Usage(
            used.input_tokens, used.output_tokens, used.cache_read_tokens, written_input_tokens=used.cache_write_tokens
        )
    details = response.provider_details or {}
    if response.provider_name == SYSTEM:
        cost_usd = details.get("cost_usd")
        for name in ("confidence", "source"):
            if details.get(name) is not None:
                note(name, details[name])
    else:
        listed = _listed_as(response.model_name, response.provider_url)
        cost_usd = None if listed is None else call_cost(listed, usage, datetime.now(UTC))[0]
    note_use(response.model_name or "unknown", usage.input_tokens, usage.output_tokens, cost_usd, None)


def _listed_as(model: str | None, url: str | None) -> str | None:
    """`provider:model`, by which its price is listed; None: no listed price holds.

    It is one where the address is a provider's own: the same model served elsewhere costs another sum.
    """
    if model is None or url is None:
        return None
    try:
        return f"{get_snapshot().find_provider(model, None, url).id}:{model}"
    except LookupError:
        return None
