"""What a provider counts, where it does not add up: read by its dearest consistent reading, and what is wrong is said.

The table was written before the code.
"""

import itertools
import json

import pytest

from stillhouse.llm.batch_anthropic import read_message
from stillhouse.llm.prices import Price, call_cost
from stillhouse.llm.reply import read_completion
from stillhouse.llm.usage import as_counted, read_usage
from stillhouse.records import Usage

KEPT = {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}
SOUND = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def of(**counts):
    """A chat completion's usage; `cached`, `written` and `reasoning` stand where OpenAI puts them."""
    places = {"cached": ("prompt", "cached_tokens"), "written": ("prompt", "cache_write_tokens")}
    places["reasoning"] = ("completion", "reasoning_tokens")
    raw = {}
    for name, value in counts.items():
        if name in places:
            whole, part = places[name]
            raw.setdefault(f"{whole}_tokens_details", {})[part] = value
        else:
            raw[f"{name}_tokens"] = value
    return raw


def gemini(prompt=None, candidates=None, thoughts=None, cached=None, tools=None, total=None):
    """Gemini's usageMetadata, as proxies pass it through."""
    names = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount")
    names = (*names, "toolUsePromptTokenCount", "totalTokenCount")
    told = zip(names, (prompt, candidates, thoughts, cached, tools, total), strict=True)
    return {name: value for name, value in told if value is not None} | {"promptTokensDetails": [{"modality": "TEXT"}]}


CASES = [  # (usage, (input, output, cached, reasoning), a word of the doubt; None: it adds up)
    (SOUND, (100, 20, None, None), None),
    ({**SOUND, "total_tokens": None}, (100, 20, None, None), None),
    ({"prompt_tokens": 100.0, "completion_tokens": 20.0}, (100, 20, None, None), None),
    (of(prompt=100, completion=20, total=120, cached=100, reasoning=20), (100, 20, 100, 20), None),
    # a part that is more than its whole was counted beside it
    (of(prompt=100, completion=20, cached=1000), (1100, 20, 1000, None), "cached"),
    (of(prompt=100, completion=20, total=1120, cached=1000), (1100, 20, 1000, None), "cached"),
    (of(prompt=100, completion=20, total=120, cached=101), (201, 20, 101, None), "cached"),
    (of(prompt=100, completion=20, cached=60, written=60), (220, 20, 60, None), "cached"),
    (of(prompt=100, completion=20, reasoning=900), (100, 920, None, 900), "reasoning"),
    (of(prompt=100, completion=20, total=120, reasoning=900), (100, 920, None, 900), "reasoning"),
    # reasoning beside the completion, as the total tells
    (of(prompt=100, completion=20, total=1020, reasoning=900), (100, 920, None, 900), "total"),
    (of(prompt=100, completion=20, total=130, reasoning=10), (100, 30, None, 10), "total"),
    (of(prompt=100, completion=20, total=1020), (100, 920, None, None), "total"),
    (of(prompt=100, completion=20, total=500, reasoning=900), (100, 920, None, 900), "reasoning"),
    (of(prompt=100, completion=10, total=1010, reasoning=1000), (100, 1010, None, 1000), "reasoning"),
    # a total that is less than its parts
    (of(prompt=100, completion=20, total=90), (100, 20, None, None), "total"),
    (of(prompt=100, completion=20, total=0), (100, 20, None, None), "total"),
    # a count that is none is told by the others, or it is not known
    (of(prompt=-5, completion=20, total=120), (100, 20, None, None), "prompt"),
    (of(prompt=100, completion="many", total=120), (100, 20, None, None), "completion"),
    # a text that spells a count is that count
    (of(prompt="100", completion="20", total="120"), (100, 20, None, None), None),
    (of(prompt=" 100 ", completion="20.0", cached="60", reasoning="5"), (100, 20, 60, 5), None),
    (of(prompt="-100", completion="1e2"), (None, None, None, None), "prompt"),
    (of(prompt="1,000", completion="٢٠"), (None, None, None, None), "completion"),
    (of(prompt=100, total=120), (100, 20, None, None), "completion"),
    (of(completion=20, total=120), (100, 20, None, None), "prompt"),
    (of(prompt=None, completion=20), (None, 20, None, None), None),
    (of(prompt=100, completion=True), (100, None, None, None), "completion"),
    (of(prompt=100, completion=20.5), (100, None, None, None), "completion"),
    (of(prompt=10**30, completion=20), (None, 20, None, None), "prompt"),
    (of(prompt=10**12, completion=20), (None, 20, None, None), "prompt"),
    (of(prompt=[100], completion={"n": 1}), (None, None, None, None), "prompt"),
    (of(total=120), (None, None, None, None), "prompt"),
    (of(prompt=100, completion=20, cached=-7), (100, 20, None, None), "cached"),
    (of(prompt=100, completion=20, cached="many"), (100, 20, None, None), "cached"),
    (of(prompt=100, completion=20, total=-1), (100, 20, None, None), "total"),
    ({**SOUND, "prompt_tokens_details": 7, "completion_tokens_details": "x"}, (100, 20, None, None), None),
    ({**SOUND, "prompt_tokens_details": None}, (100, 20, None, None), None),
    ({}, (None, None, None, None), None),
    # other names for the same
    ({"input_tokens": 100, "output_tokens": 20}, (100, 20, None, None), None),
    ({"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 900}, (1000, 20, 900, None), None),
    ({"input_tokens": 0, "output_tokens": 20, "cache_creation_input_tokens": 50}, (50, 20, None, None), None),
    ({"input_tokens": 9, "output_tokens": 2, "cache_creation": KEPT}, (39, 2, None, None), None),
    (
        {"input_tokens": 9, "output_tokens": 2, "cache_creation_input_tokens": 30, "cache_creation": KEPT},
        (39, 2, None, None),
        None,
    ),
    (
        {"input_tokens": 9, "output_tokens": 2, "cache_creation_input_tokens": 31, "cache_creation": KEPT},
        (40, 2, None, None),
        "differ",
    ),
    ({"input_tokens": 9, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 5}}, (9, 2, 5, None), None),
    ({**SOUND, "prompt_cache_hit_tokens": 60, "prompt_cache_miss_tokens": 40}, (100, 20, 60, None), None),
    ({**SOUND, "cached_tokens": 60}, (100, 20, 60, None), None),
    ({**SOUND, "prompt_tokens_details": {"cache_creation_tokens": 30}}, (100, 20, None, None), None),
    # Gemini's: thoughts are beside the answer, what the cache had is within the prompt, what tools read beside it
    (gemini(100, 20, total=120), (100, 20, None, None), None),
    (gemini(100, 20, thoughts=900, total=1020), (100, 920, None, 900), None),
    (gemini(100, 20, thoughts=900), (100, 920, None, 900), None),
    (gemini(100, 20, cached=60), (100, 20, 60, None), None),
    (gemini(100, 20, cached=600), (700, 20, 600, None), "cached"),
    (gemini(100, 20, tools=50, thoughts=5, total=175), (150, 25, None, 5), None),
    (gemini(100, None, thoughts=900, total=1000), (100, 900, None, 900), "completion"),
    (gemini("100", "20", thoughts="900"), (100, 920, None, 900), None),
    ({"prompt_token_count": 100, "candidates_token_count": 20, "thoughts_token_count": 9}, (100, 29, None, 9), None),
    # Bedrock's: what the cache had or took is beside the input
    (
        {"inputTokens": 10, "outputTokens": 2, "cacheReadInputTokens": 300, "cacheWriteInputTokens": 50},
        (360, 2, 300, None),
        None,
    ),
    ({"promptTokens": 100, "completionTokens": 20, "totalTokens": 120}, (100, 20, None, None), None),
    # one usage under two names
    ({**SOUND, "input_tokens": 100, "output_tokens": 20}, (100, 20, None, None), None),
    ({**SOUND, "input_tokens": 40, "cache_read_input_tokens": 60}, (100, 20, 60, None), None),
    ({**SOUND, "input_tokens": 0, "output_tokens": 0}, (100, 20, None, None), "differ"),
    (
        {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 100, "output_tokens": 20},
        (100, 20, None, None),
        "differ",
    ),
    ({**of(prompt=100, completion=20, cached=10), "prompt_cache_hit_tokens": 60}, (100, 20, 10, None), "differ"),
]


@pytest.mark.parametrize(("raw", "wanted", "doubt"), CASES)
def test_the_reading_of_a_usage(raw, wanted, doubt):
    usage = read_usage(raw)
    assert (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.reasoning_tokens,
    ) == wanted
    assert usage.doubt is None if doubt is None else doubt in usage.doubt
    assert as_counted(usage) == usage  # read again, it is what it was


@pytest.mark.parametrize("raw", [None, "12", 12, [1, 2], True])
def test_what_is_no_object_of_counts_is_unknown(raw):
    assert read_usage(raw) is None


@pytest.mark.parametrize(("raw", "_", "doubt"), CASES)
def test_no_reading_costs_less_than_nothing_or_less_than_the_parts_that_were_told(raw, _, doubt):
    price = Price(2.0, 10.0, "a test's", cached_usd_per_m=0.5, written_usd_per_m=2.5)
    usage = read_usage(raw)
    cost = price.cost_usd(usage)
    if None in (usage.input_tokens, usage.output_tokens):
        assert cost is None
        return
    told = [raw.get("prompt_tokens"), raw.get("completion_tokens")]
    parts = zip(told, (0.5, 10.0), strict=True)
    least = sum(n * rate for n, rate in parts if type(n) is int and 0 <= n < 10**9) / 1e6
    assert cost >= least > -1 and cost >= 0


def test_tokens_that_the_total_alone_tells_are_priced_where_they_cost_most():
    usage = read_usage(of(prompt=100, completion=20, total=1120))
    assert Price(1.0, 3.0, "p").cost_usd(usage) == pytest.approx((100 * 1 + 1020 * 3) / 1e6)
    assert Price(3.0, 1.0, "p").cost_usd(usage) == pytest.approx((1100 * 3 + 20 * 1) / 1e6)
    known = read_usage(of(prompt=100, completion=20, total=1120, reasoning=1000))  # these are output, whatever it costs
    assert Price(3.0, 1.0, "p").cost_usd(known) == pytest.approx((100 * 3 + 1020 * 1) / 1e6)


@pytest.mark.parametrize("usage", [Usage(100, 20, 1000), Usage(100, 20, None, 900), Usage(-3, 20), Usage(100, 20, -9)])
def test_counts_that_an_earlier_version_stored_are_priced_by_the_same_rule(usage):
    from datetime import UTC, datetime

    now = datetime(2026, 11, 1, tzinfo=UTC)
    own, _ = call_cost("http://h/v1#m", usage, now, price_in=2.0, price_out=10.0, price_cached=0.1)
    listed, _ = call_cost("openai:gpt-4o-mini", usage, now)
    assert as_counted(usage).doubt
    assert (own is None or own > 0) and (listed is None or listed > 0)
    assert (own is None) == (listed is None) == (usage.input_tokens < 0)


def body(usage, content="good"):
    return json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}], "usage": usage})


PLACES = {  # where the usage stands in a body
    "usage": lambda usage: {"usage": usage},
    "usageMetadata": lambda usage: {"usage": None, "usageMetadata": usage},
    "usage_metadata": lambda usage: {"usage": {}, "usage_metadata": usage},
    "x_groq": lambda usage: {"x_groq": {"id": "r", "usage": usage}},
}


@pytest.mark.parametrize("place", PLACES)
def test_the_usage_is_found_wherever_a_body_has_it(place):
    choice = {"message": {"content": "good"}, "finish_reason": "stop"}
    for usage in (SOUND, gemini(100, 5, thoughts=15)):
        found = read_completion(json.dumps({"choices": [choice], **PLACES[place](usage)}).encode(), 0.1).usage
        assert (found.input_tokens, found.output_tokens, found.doubt) == (100, 20, None)
    found = read_completion(json.dumps({"choices": [{**choice, "usage": SOUND}]}).encode(), 0.1).usage
    assert (found.input_tokens, found.output_tokens) == (100, 20)


def test_an_answer_for_which_no_token_is_counted_has_an_unknown_cost():
    usage = read_completion(body({"prompt_tokens": 0, "completion_tokens": 0}).encode(), 0.1).usage
    assert (usage.input_tokens, usage.output_tokens) == (None, None) and "no token" in usage.doubt
    half = read_completion(body({"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}).encode(), 0.1).usage
    assert (half.input_tokens, half.output_tokens) == (9, None) and "no token" in half.doubt
    told = read_completion(body({"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 20}).encode(), 0.1).usage
    assert (told.input_tokens, told.output_tokens) == (9, 11)


@pytest.mark.parametrize(
    ("usage", "wanted", "doubt"),
    [
        ({"input_tokens": 10, "output_tokens": 2}, Usage(10, 2), None),
        ({"input_tokens": 10, "cache_read_input_tokens": 300, "output_tokens": 2}, Usage(310, 2, 300), None),
        ({"input_tokens": -10, "output_tokens": 2}, Usage(None, 2), "input"),
        ({"input_tokens": True, "output_tokens": "two"}, Usage(None, None), "output"),
        ({"input_tokens": "10", "output_tokens": "2"}, Usage(10, 2), None),
        ({"input_tokens": 10, "cache_read_input_tokens": -300, "output_tokens": 2}, Usage(10, 2), "cache"),
        ({"input_tokens": 0, "output_tokens": 0}, Usage(None, None), "no token"),
    ],
)
def test_a_message_of_anthropics_is_counted_by_the_same_rule(usage, wanted, doubt):
    from dataclasses import replace

    message = {"content": [{"type": "text", "text": "good"}], "stop_reason": "end_turn", "usage": usage}
    found = read_message(message).usage
    assert replace(found, doubt=None) == wanted
    assert found.doubt is None if doubt is None else doubt in found.doubt


def test_a_usage_of_others_is_taken_as_it_is_only_where_its_parts_fit_into_their_whole():
    counts = (None, 0, 3, 5)
    for prompt, completion, cached, written, reasoning in itertools.product(counts, repeat=5):
        given = Usage(prompt, completion, cached, reasoning, written_input_tokens=written)
        read = as_counted(given)
        fits = (prompt is None or (cached or 0) + (written or 0) <= prompt) and (
            completion is None or (reasoning or 0) <= completion
        )
        assert (read == given) == fits
        assert (read.doubt is None) == fits
