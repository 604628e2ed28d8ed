"""How many tokens a model reads at once, and how many a prompt has.

A prompt's tokens are counted with the model's own tokenizer, or estimated from calls that were paid for already.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.errors import MissingExtraError, TaskFileError
from stillhouse.json_text import read_body
from stillhouse.llm.request import text_of
from stillhouse.proxies import proxy_for, trusted
from stillhouse.records import Usage

Messages = Sequence[Mapping[str, Any]]
PER_MESSAGE = 8  # tokens for a message's role and its ends: more than chat templates use
_WINDOW_KEYS = ("max_model_len", "context_window", "context_length")
_LIST_S = 10.0
KEPT_FREE = 0.1  # share of the window left unused where tokens are estimated: some texts have more than the average


def context_window(model: str) -> int | None:
    """Tokens that the model reads and writes in one call, by the price table; None where it does not know the model."""
    if "://" in model:  # a model at an address: whoever serves the weights there sets the window
        return None
    from genai_prices import data_snapshot  # imported late, because genai_prices takes half a second to load

    provider, colon, name = model.partition(":")
    try:
        _, facts = data_snapshot.get_snapshot().find_provider_model(
            name if colon else model, None, provider if colon else None, None
        )
    except LookupError:
        return None
    return facts.context_window


async def listed_window(base_url: str, model: str, key: str | None) -> int | None:
    """Tokens that the model reads and writes in one call, by the endpoint's own list of models; None: it does not say.

    OpenAI's form of the list has no such number. vLLM adds `max_model_len`, Groq `context_window`, OpenRouter and
    Together `context_length`. The list is free, and asked for once: where that fails, a real call follows in a moment
    and says what is wrong.
    """
    import aiohttp

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url, proxy = f"{base_url.rstrip('/')}/models", proxy_for(base_url)
    through = None if proxy is None else proxy.url
    connector, timeout = aiohttp.TCPConnector(ssl=trusted()), aiohttp.ClientTimeout(total=_LIST_S)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session,
            session.get(url, allow_redirects=False, proxy=through) as response,
        ):
            rows = read_body(await response.read())["data"] if response.status == 200 else ()
        row: dict[str, Any] = next((row for row in rows if row["id"] == model), {})
        window = next((value for key in _WINDOW_KEYS if (value := row.get(key)) is not None), None)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        # The endpoint's reply is no list of models.
        return None
    return window if isinstance(window, int) and not isinstance(window, bool) and window > 0 else None


@dataclass(frozen=True)
class TokenCounter:
    """The length of a prompt in tokens."""

    count: Callable[[str], float]  # a function from a text to its number of tokens
    how: str  # words that say where the token count comes from
    usable: float = 1.0  # the share of the model's context window that a planned prompt may fill
    per_message: int = 0

    def of(self, messages: Messages) -> float:
        return sum(self.count(text_of(message)) + self.per_message for message in messages)


def tokenizer_file(path: Path) -> Path:
    """The `tokenizer.json` at this path, or in that folder. Raises TaskFileError where there is none."""
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise TaskFileError(
            f"[teacher] tokenizer = {str(path)!r}: no such file; give a tokenizer.json, or a folder with one"
        )
    return file


def with_tokenizer(path: Path) -> TokenCounter:
    """Counts by the `tokenizer.json` at `path`, or in that folder.

    Raises TaskFileError where there is none, MissingExtraError without `tokenizers`.
    """
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise MissingExtraError(
            "[teacher] tokenizer needs tokenizers; install it with `pip install 'stillhouse[train]'`"
        ) from None
    file = tokenizer_file(path)
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises plain Exception for a file that it cannot read
        raise TaskFileError(
            f"[teacher] tokenizer = {str(path)!r}: cannot be read ({error}); "
            "give a tokenizer.json as `tokenizers` writes it"
        ) from None
    return TokenCounter(
        lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids),
        f"counted with {file.name}",
        per_message=PER_MESSAGE,
    )


def measured(prompts: Sequence[Messages], usages: Sequence[Usage | None]) -> TokenCounter | None:
    """Counts by the characters that a token had on average in these calls; None where no call tells its tokens."""
    calls = [
        (sum(len(text_of(message)) for message in prompt), usage.input_tokens, usage.estimated)
        for prompt, usage in zip(prompts, usages, strict=True)
        if usage is not None and usage.input_tokens
    ]
    if not calls:
        return None
    ratio = sum(characters for characters, _, _ in calls) / sum(tokens for _, tokens, _ in calls)
    source = f"measured on {len(calls):,} calls"
    if any(estimated for *_, estimated in calls):
        source = "estimated, as a stand-in counts no tokens"
    return TokenCounter(
        lambda text: len(text) / ratio,
        f"{ratio:.2f} characters a token, {source}; a tenth of the window is kept free",
        1 - KEPT_FREE,
    )
