"""One row asked of an endpoint that can much, little or nothing: what it refuses is left out and said, broken JSON is sent back once and paid for."""

import json
import math
from dataclasses import replace

import pytest

from stillhouse.errors import BudgetError, TaskFileError
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.models import open_teacher
from stillhouse.llm.parsing import parse_reply
from stillhouse.llm.prompted import PromptedPredictor, reply_schema
from stillhouse.llm.request import Completion
from stillhouse.records import Example, Usage
from stillhouse.settings import TeacherSettings
from stillhouse.store import open_store
from stillhouse.task import Task, load_task

MOOD = Task("mood", "Is it good?", "choice", ("good", "bad"))
FIELDS = {"city": {"type": "string"}, "orders": {"type": "integer"}}
PLACE = Task("place", "Where?", "json", schema={"type": "object", "properties": FIELDS, "required": ["city", "orders"]})
PORTO = '{"city": "Porto", "orders": 3}'
ROW = Example("1", "a day")
REFUSED = Completion(None, error="refused by the endpoint (400: not supported)", status=400)


@pytest.fixture
def asked(tmp_path):
    """`await asked(task, answer)`: one row asked of `answer(request)`, with the requests that were sent and the ledger."""

    async def ask(task, answer, row=ROW, store="store.db", **settings):
        sent, ledger = [], Ledger(settings.pop("max_usd", None))

        async def call(request, example):
            sent.append(request)
            reply = answer(request)
            return (
                reply
                if isinstance(reply, Completion)
                else Completion(reply, finish_reason="stop", usage=Usage(100, 10))
            )

        with open_store(tmp_path / store) as opened:
            model = MeteredModel("m", call, opened, ledger, price_in=1.0, price_out=1.0)
            predictor = PromptedPredictor(
                model, task.with_teacher(**settings), **({"rationales": True} if settings.get("rationales") else {})
            )
            rows = await predictor.replies([row])
        return *rows[0], sent, ledger

    return ask


async def test_k_samples_are_k_calls_that_vote_and_a_fourth_sample_is_one_call_more(asked):
    def answer(request):
        return ("good", "bad", "good", "good")[request.sample_index]

    prediction, _, completion, sent, ledger = await asked(MOOD, answer, samples=3, temperature=0.7)
    assert (prediction.output, prediction.confidence) == ("good", pytest.approx(2 / 3))
    assert prediction.scores == {"good": pytest.approx(2 / 3), "bad": pytest.approx(1 / 3)}
    assert sorted(request.sample_index for request in sent) == [0, 1, 2]
    assert prediction.cost_usd == completion.cost_usd == ledger.spent_usd == pytest.approx(3 * 110 / 1e6)
    prediction, _, _, sent, ledger = await asked(MOOD, answer, samples=4, temperature=0.7)
    assert ([request.sample_index for request in sent], prediction.confidence) == ([3], 0.75)
    assert (ledger.spent_usd, prediction.cost_usd) == (
        pytest.approx(110 / 1e6),
        pytest.approx(4 * 110 / 1e6),
    )  # paid now, and what the label cost in all


async def test_a_tied_vote_is_no_answer(asked):
    prediction, *_ = await asked(
        MOOD, lambda request: ("good", "bad")[request.sample_index], samples=2, temperature=0.7
    )
    assert (prediction.output, prediction.error) == (None, "tie: 2 answers have 1 of 2 votes each")


async def test_when_the_budget_ends_between_samples_what_was_answered_is_stored(asked):
    with pytest.raises(BudgetError):
        await asked(MOOD, lambda request: "good", samples=5, temperature=0.7, max_tokens=100, max_usd=0.0004)
    _, _, completion, sent, _ = await asked(MOOD, lambda request: "good", samples=5, temperature=0.7, max_tokens=100)
    assert 0 < len(sent) < 5 and not completion.from_store


async def test_broken_json_is_sent_back_once_with_what_is_wrong_and_both_calls_are_paid(asked):
    def answer(request):
        return PORTO if len(request.messages) > 2 else '{"city": "Porto", "orders": "many"}'

    prediction, reply, _, sent, ledger = await asked(PLACE, answer)
    assert (prediction.output, reply.how, reply.sent_back) == (PORTO, "repaired", 1)
    assert "orders: 'many' is not of type 'integer'" in sent[1].messages[-1]["content"]
    assert sent[1].messages[-2] == {"role": "assistant", "content": '{"city": "Porto", "orders": "many"}'}
    assert prediction.cost_usd == ledger.spent_usd == pytest.approx(2 * 110 / 1e6)
    assert (await asked(PLACE, answer))[3] == []  # both are in the store


async def test_what_stays_broken_is_rejected_with_its_reason_after_one_repair(asked):
    prediction, reply, _, sent, _ = await asked(PLACE, lambda request: "Porto, three")
    assert (prediction.output, prediction.error, reply.sent_back, len(sent)) == (
        None,
        "the reply is not valid JSON, also when sent back",
        1,
        2,
    )


async def test_a_label_that_is_not_json_is_never_sent_back(asked):
    _, reply, _, sent, _ = await asked(MOOD, lambda request: "I cannot say")
    assert (reply.error, len(sent)) == ("the reply names no label", 1)


async def test_a_schema_is_sent_where_the_endpoint_takes_it_and_the_answer_is_one_of_the_labels(asked):
    _, reply, _, sent, _ = await asked(
        MOOD, lambda request: '{"rationale": "It shines.", "answer": "good"}', structured=True, rationales=True
    )
    assert (reply.output, reply.rationale, reply.how, reply.lacking) == ("good", "It shines.", "strict", ())
    assert sent[0].schema["properties"]["answer"]["enum"] == ["good", "bad"]
    assert list(sent[0].schema["properties"]) == [
        "rationale",
        "answer",
    ]  # reasons first, or they could not lead to the answer


@pytest.mark.parametrize(
    "refuses", [{"schema"}, {"logprobs"}, {"schema", "logprobs"}], ids=["schema", "logprobs", "both"]
)
async def test_what_the_endpoint_refuses_is_left_out_recorded_and_not_tried_again(asked, refuses):
    def answer(request):
        has = {
            name
            for name, there in (("schema", request.schema is not None), ("logprobs", "logprobs" in request.parameters))
            if there
        }
        return REFUSED if has & refuses else '{"answer": "good"}'

    settings = {"structured": True, "soft_targets": True}
    _, reply, _, first, ledger = await asked(MOOD, answer, **settings)
    assert (reply.output, set(reply.lacking), ledger.spent_usd) == ("good", refuses, pytest.approx(110 / 1e6))
    _, reply, completion, again, _ = await asked(MOOD, answer, **settings)
    assert (len(first) > 1, again, completion.from_store, set(reply.lacking)) == (True, [], True, refuses)


async def test_a_row_that_is_refused_with_or_without_condemns_nothing_but_itself(asked):
    _, reply, _, _, _ = await asked(MOOD, lambda request: REFUSED, structured=True, soft_targets=True)
    assert (reply.error, reply.lacking) == (REFUSED.error, ())


async def test_log_probabilities_become_the_labels_probabilities_and_are_kept(asked):
    logprobs = {"good": math.log(0.8), "bad": math.log(0.15)}
    told = Completion(
        "good",
        finish_reason="stop",
        usage=Usage(100, 1),
        token_logprobs=(("good", logprobs["good"]),),
        top_logprobs=(logprobs,),
    )
    for _ in range(2):  # the second is the store's
        prediction, *_ = await asked(MOOD, lambda request: told, soft_targets=True)
        assert prediction.scores == {"good": pytest.approx(0.8), "bad": pytest.approx(0.15)}
        assert prediction.confidence == pytest.approx(0.8)


async def test_without_log_probabilities_the_scores_are_unknown(asked):
    prediction, *_ = await asked(MOOD, lambda request: "good", soft_targets=True)
    assert (prediction.output, prediction.scores, prediction.confidence) == ("good", None, None)


@pytest.mark.parametrize(
    ("mode", "output", "how"),
    [("place", PORTO, "strict"), ("place-plain", PORTO, "repaired"), ("place-bad", None, None)],
)
async def test_over_http_an_endpoint_with_schemas_one_without_and_one_that_never_learns(
    endpoint, tmp_path, mode, output, how
):
    task = PLACE.with_teacher(structured=True)
    with open_store(tmp_path / "s.db") as store:
        teacher = open_teacher(endpoint.url(mode), task, store)
        try:
            ((prediction, reply, _),) = await teacher.replies([Example("1", "the place")])
        finally:
            await teacher.close()
    assert (prediction.output, reply.how) == (output, how)
    assert reply.lacking == (("schema",) if mode == "place-plain" else ())
    assert reply.sent_back == (0 if mode == "place" else 1)


STRUCTURED = [
    ('{"rationale": "r", "answer": "good"}', "good", "strict"),
    ('Here:\n```json\n{"rationale": "r", "answer": "good"}\n```', "good", "lenient"),
    ('{"rationale": "r", "answer": "Good"}', "good", "lenient"),
    ('{"rationale": "", "answer": "good"}', None, None),
    ('{"answer": "good"}', None, None),
    ('{"rationale": "r", "answer": ["good"]}', None, None),
    ('{"rationale": "r", "answer": "good or bad"}', None, None),
    ('["good"]', None, None),
    ("good", None, None),
]


@pytest.mark.parametrize(("text", "output", "how"), STRUCTURED, ids=[text[:40] for text, _, _ in STRUCTURED])
def test_a_structured_reply_is_an_object_of_rationale_and_answer(text, output, how):
    reply = parse_reply(MOOD.with_teacher(structured=True), ROW, text, rationales=True)
    assert (reply.output, reply.how) == (output, how)
    assert (reply.error is None) == (output is not None)


BARE = [("1", "1"), ("-1", "-1"), ("1.0", None), ("true", None), ('"1"', "1"), ("null", None), ("[1]", None)]


@pytest.mark.parametrize(("answer", "output"), BARE)
def test_a_label_that_is_a_number_is_read_without_its_quotes(answer, output):
    task = replace(MOOD, labels=("-1", "0", "1")).with_teacher(structured=True)
    reply = parse_reply(task, ROW, f'{{"answer": {answer}}}')
    assert (reply.output, reply.how) == (output, output and ("strict" if answer == '"1"' else "lenient"))


def test_no_schema_is_sent_that_an_endpoint_could_not_keep_to():
    anything = Task("data", "-", "json").with_teacher(structured=True)
    listed = Task("data", "-", "json", schema={"type": "array"}).with_teacher(structured=True)
    assert (
        reply_schema(anything, ROW, rationales=False)
        is reply_schema(anything, ROW, rationales=True)
        is reply_schema(listed, ROW, rationales=False)
        is None
    )
    assert reply_schema(listed, ROW, rationales=True)["properties"]["answer"] == {"type": "array"}
    assert reply_schema(MOOD, ROW, rationales=True) is None


def write_task(folder, task="", teacher=""):
    (folder / "task.toml").write_text(
        f'[task]\nname = "t"\ninstruction = "-"\noutput = "json"\n{task}\n[teacher]\n{teacher}\n'
    )
    return folder


def test_settings_that_cannot_hold_are_one_sentence(tmp_path):
    with pytest.raises(TaskFileError, match="samples = 5 at temperature = 0"):
        load_task(write_task(tmp_path, teacher="samples = 5"))
    with pytest.raises(TaskFileError, match=r"no such file; mend `json_schema`"):
        load_task(write_task(tmp_path, 'json_schema = "s.json"'))
    for broken in ("{", '{"type": "text"}'):
        (tmp_path / "s.json").write_text(broken)
        with pytest.raises(TaskFileError, match="not a JSON schema"):
            load_task(write_task(tmp_path, 'json_schema = "s.json"'))
    (tmp_path / "s.json").write_text(json.dumps({"$ref": "https://example.com/other.json"}))
    with pytest.raises(TaskFileError, match=r"refers to 'https://example\.com/other\.json'"):
        parse_reply(load_task(write_task(tmp_path, 'json_schema = "s.json"')), ROW, "{}")
    with pytest.raises(TaskFileError, match="soft_targets are probabilities of labels"):
        PromptedPredictor(MeteredModel("m", None, None, Ledger()), PLACE.with_teacher(soft_targets=True))
    assert TeacherSettings(samples=5, temperature=0.7).samples == 5
