"""Whoever asks a model (a step, a decision, an agent, a judge, a generation) gets its answer alone, or a reason."""

import json

import pytest

from stillhouse import step
from stillhouse.comparison.judge import ask_judge
from stillhouse.comparison.pairs import Pair
from stillhouse.flow import LimitExceeded, StepError, agent, decide, limits
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.request import Completion, Request
from stillhouse.records import Example, Usage
from stillhouse.session import Session
from stillhouse.store import open_store
from stillhouse.teacher.numbered import blocks
from stillhouse.teacher.self_instruct import ProposalCall, _take

SAYS = Completion("yes")
MODEL = f"scripted:{__name__}:says"


def says(request, example=None):
    if "decision" in request.parameters:
        return Completion(None, error="no decisions here", status=404)
    return SAYS


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    import sys

    monkeypatch.chdir(tmp_path)
    sys.modules["test_answers_everywhere"] = sys.modules[__name__]
    return tmp_path


def reply(monkeypatch, text, finish="stop"):
    monkeypatch.setattr(f"{__name__}.SAYS", Completion(text, finish_reason=finish, usage=Usage(9, 2)))


@step(model=MODEL)
async def title(text: str) -> str:
    """Give it a title."""


@step(model=MODEL)
async def order(text: str) -> dict[str, int]:
    """Read it."""


async def asked(what):
    if what == "step":
        return await title("x")
    if what == "json":
        return (await order("x"))["n"]
    if what == "decide":
        return str(await decide("Is it?", ["yes", "no"], "x", model=MODEL))
    return await agent("Help.", [], name="helper", model=MODEL, calling="text", max_turns=1)("x")


RIGHT = {"step": "yes", "json": '{"n": 1}', "decide": "yes", "agent": "Final Answer: yes"}
WRONG = {"step": "no", "json": '{"n": 2}', "decide": "no", "agent": "Final Answer: no"}


@pytest.mark.parametrize("what", RIGHT)
async def test_thinking_is_no_part_of_an_answer(what, monkeypatch):
    reply(monkeypatch, f"<think>{WRONG[what]}\n</think>\n{RIGHT[what]}")
    assert await asked(what) == (1 if what == "json" else "yes")


@pytest.mark.parametrize("what", RIGHT)
@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ("<think>{}", "stop", "still thinking"),
        ("{}", "error", "stopped before its end"),
        ("{}", "MAX_TOKENS", "cut off"),
        ("{}", "SAFETY", "content filter"),
        ("{}", "refusal", "refused"),
        ("{}", "tool_calls", "none was offered"),
    ],
)
async def test_what_is_no_answer_fails_with_its_reason(what, text, finish, reason, monkeypatch):
    reply(monkeypatch, text.replace("{}", RIGHT[what]), finish)
    with pytest.raises(StepError, match=reason):
        await asked(what)


@pytest.mark.parametrize(
    ("text", "finish", "choice"),
    [("<think>second</think>first", "stop", "A"), ("first", "max_tokens", None), ("<think>first", "stop", None)],
)
async def test_a_judge_is_read_like_a_teacher(text, finish, choice, here, monkeypatch):
    from stillhouse.evaluation.win_rate import JudgedRow
    from stillhouse.settings import TeacherSettings

    reply(monkeypatch, text, finish)
    pairs = [Pair(Example("1", "x"), "one", "two", "1")]
    rows = [JudgedRow("1")]
    with open_store(here / "s.db") as store:
        [row], _ = await ask_judge(MODEL, pairs, rows, None, TeacherSettings(), store, Ledger(), Session())
    assert row.judge[0] == choice


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS"])
def test_the_last_proposal_of_a_reply_that_was_cut_off_is_not_taken(finish):
    class Takes:
        kept, dropped, read_of = [], [], []

        def unreadable(self, id_, text, reason, n=1):
            pass

    class Reads:
        def blocks(self, call, reply, *, cut_off):
            return blocks(reply, call.first, call.last, cut_off=cut_off)

        def read(self, call, block, id_):
            Takes.read_of.append(block.number)
            return "no"

    call = ProposalCall(Request("m", ()), 1, 3, (), "new")
    text = "## 1\none\n## 2\ntwo\n## 3\nthr"
    _take(call, Completion(text, error="cut off at max_tokens", finish_reason=finish), Reads(), Takes(), 9)
    assert Takes.read_of[-2:] == [1, 2]


async def test_a_reply_that_an_earlier_version_stored_is_read_by_todays_rules(here):
    async def never(request, example):
        raise AssertionError("it is stored")

    request = Request("m", ({"role": "user", "content": "x"},))
    with open_store(here / "s.db") as store:

        async def once(_, __):
            return Completion("<think>no</think>yes", finish_reason="stop", usage=Usage(9, 2, 5000))

        await MeteredModel("m", once, store, Ledger(), price_in=1.0, price_out=1.0).complete(request)
        assert store.get(request.hash).response["text"] == "<think>no</think>yes"  # kept as it came
        again = await MeteredModel("m", never, store, Ledger()).complete(request)
    assert (again.text, again.thinking, again.from_store) == ("yes", "no", True)
    assert again.usage.input_tokens == 5009 and "cached" in again.usage.doubt and again.cost_usd > 0
    assert json.dumps(again.usage.doubt)


DOUBTFUL = Usage(9, 1002, None, 1000, doubt="total_tokens are more", unplaced_tokens=1000)


@pytest.mark.parametrize(
    ("usage", "used"), [(DOUBTFUL, 1011), (None, 1024), (Usage(9, None), 1024), (Usage(None, 2), 10)]
)
async def test_a_limit_on_tokens_counts_the_most_that_was_used_and_says_so(usage, used, monkeypatch):
    monkeypatch.setattr(f"{__name__}.SAYS", Completion("yes", finish_reason="stop", usage=usage))
    with pytest.raises(LimitExceeded) as refused:
        async with limits(tokens=1):
            await title("x")
    async with limits(tokens=int(str(refused.value).split("up to ")[1].split(")")[0])) as within:
        await title("x")
        assert within.tokens >= used and within.n_doubtful == 1
        with pytest.raises((LimitExceeded, StepError), match="1 call with token counts that are unknown or do not add"):
            await title("y")
        within.replayed('{"input_tokens": null, "output_tokens": 2, "at_most_tokens": 50}')
        assert within.tokens >= used + 52 and within.n_doubtful == 2


async def test_a_judges_doubtful_counts_are_counted(here, monkeypatch):
    from stillhouse.evaluation.win_rate import JudgedRow
    from stillhouse.settings import TeacherSettings

    monkeypatch.setattr(f"{__name__}.SAYS", Completion("first", finish_reason="stop", usage=DOUBTFUL))
    pairs = [Pair(Example("1", "x"), "one", "two", "1")]
    with open_store(here / "s.db") as store:
        _, judge = await ask_judge(MODEL, pairs, [JudgedRow("1")], None, TeacherSettings(), store, Ledger(), Session())
    assert judge.usage_doubts == {"total_tokens are more": 2}
