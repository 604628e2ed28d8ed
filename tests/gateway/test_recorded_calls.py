"""What is kept of the calls, what `steps` makes of them, and the rows that `harvest` writes."""

import gzip
import json

import pytest

from gateway.upstream import chat
from stillhouse.commands.gateway import steps
from stillhouse.commands.harvest_gateway import harvest_gateway
from stillhouse.data.dataset import load_examples
from stillhouse.errors import ExistsError, StorageError, UserError
from stillhouse.gateway import recorder as recording
from stillhouse.gateway.calls import MOST_KEPT, ForwardedCall
from stillhouse.gateway.feedback import FeedbackError, read_feedback
from stillhouse.gateway.reading import read_call
from stillhouse.gateway.recorder import CallRecorder
from stillhouse.store.gateway_calls import COLUMNS, open_gateway_calls
from stillhouse.task import load_task

MOOD = "Is the mood of this text good or bad? Answer with one word."


def call(
    text="a fine day", answer=None, *, path="/v1/chat/completions", n=0, status=200, step=None, encoding="", **body
):
    """A call as the forwarder hands it over. `answer`: the upstream's body; a text is that of a chat completion."""
    if path == "/v1/chat/completions" and "messages" not in body:
        body["messages"] = [{"role": "system", "content": MOOD}, {"role": "user", "content": text}]
    made = ForwardedCall(
        id=f"call-{n}",
        began=1_800_000_000.0 + 60 * n,
        method="POST",
        path=path,
        upstream="openai",
        step=step,
        encoding=encoding,
        status=status,
        seconds=0.5,
    )
    made.request.add(json.dumps({"model": "gpt-4o-mini", **body}).encode())
    if not isinstance(answer, bytes):
        answer = chat("good" if answer is None else answer).partition(b"\r\n\r\n")[2]
    made.answer.add(answer)
    return made


def sse(*events, names=None):
    named = [f"event: {name}\n" for name in names] if names else [""] * len(events)
    lines = [f"{name}data: {json.dumps(event)}\n\n" for name, event in zip(named, events, strict=True)]
    return "".join(lines).encode()


USAGE = {"input_tokens": 20, "output_tokens": 2}
RESPONSE = {
    "model": "gpt-4o-mini",
    "status": "completed",
    "usage": USAGE,
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "good"}]},
    ],
}
MESSAGE = {
    "model": "claude-3-5-haiku-latest",
    "role": "assistant",
    "stop_reason": "end_turn",
    "usage": USAGE,
    "content": [{"type": "text", "text": "good"}],
}
CHUNKS = [
    {"choices": [{"index": 0, "delta": {"content": "go"}}]},
    {"choices": [{"index": 0, "delta": {"content": "od"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}},
]
CLAUDE_EVENTS = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": {"input_tokens": 20, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "go"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "od"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
QUESTION = {"type": "choice", "instructions": MOOD, "choices": [{"value": "good"}, {"value": "bad"}]}
DECIDED = {"answers": [{"type": "choice", "choice": "good", "probabilities": []}], "usage": USAGE}


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (call(), "chat"),
        (call(answer=sse(*CHUNKS) + b"data: [DONE]\n\n", stream=True), "chat"),
        (call(answer=gzip.compress(chat("good").partition(b"\r\n\r\n")[2]), encoding="gzip"), "chat"),
        (
            call(
                messages=[
                    {"role": "developer", "content": MOOD},
                    {"role": "user", "content": [{"type": "text", "text": "a fine day"}]},
                ]
            ),
            "chat",
        ),
        (
            call(answer=json.dumps(RESPONSE).encode(), path="/v1/responses", instructions=MOOD, input="a fine day"),
            "responses",
        ),
        (
            call(
                answer=sse({"type": "response.created"}, {"type": "response.completed", "response": RESPONSE}),
                path="/v1/responses",
                input=[
                    {"role": "system", "content": MOOD},
                    {"role": "user", "content": [{"type": "input_text", "text": "a fine day"}]},
                ],
            ),
            "responses",
        ),
        (
            call(
                answer=json.dumps(MESSAGE).encode(),
                path="/v1/messages",
                system=MOOD,
                messages=[{"role": "user", "content": "a fine day"}],
            ),
            "messages",
        ),
        (
            call(
                answer=sse(*CLAUDE_EVENTS, names=[event["type"] for event in CLAUDE_EVENTS]),
                path="/v1/messages",
                system=[{"type": "text", "text": MOOD}],
                messages=[{"role": "user", "content": [{"type": "text", "text": "a fine day"}]}],
            ),
            "messages",
        ),
    ],
    ids=["chat", "streamed", "gzip", "parts", "responses", "responses streamed", "messages", "messages streamed"],
)
def test_every_protocol_is_read_to_the_same_row(made, kind):
    read = read_call(made)
    assert (read.kind, read.no_row) == (kind, None)
    assert (read.instruction, read.input, read.output) == (MOOD, "a fine day", "good")
    assert (read.input_tokens, read.output_tokens) == (20, 2)
    assert read.constant is not None


def test_a_decision_is_a_row_of_its_questions():
    read = read_call(
        call(answer=json.dumps(DECIDED).encode(), path="/v1/decisions", input="a fine day", questions=[QUESTION])
    )
    assert (read.input, read.output, read.no_row) == ("a fine day", "good", None)
    assert json.loads(read.schema) == {"questions": [QUESTION]}


OWN = chat("good", model="our-own").partition(b"\r\n\r\n")[2]


def test_a_known_model_has_a_cost_and_an_unknown_one_has_none():
    assert read_call(call()).cost_usd == pytest.approx(20 * 0.15e-6 + 2 * 0.6e-6)
    unknown = call(model="our-own", answer=OWN)
    assert read_call(unknown).cost_usd is None
    broken = call(answer=chat("good", usage=None).partition(b"\r\n\r\n")[2])
    assert (read_call(broken).cost_usd, read_call(broken).input_tokens) == (None, None)


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
TOOL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (call(messages=TURNS), "in a conversation of several turns"),
        (call(messages=[{"role": "user", "content": [IMAGE]}]), "with images, audio or files"),
        (call(status=500, answer=b"{}"), "without a usable answer"),
        (call(answer=b'{"error": {"message": "no"}}'), "without a usable answer"),
        (call(answer=b"\xff\xfe"), "without a usable answer"),
        (call(answer=sse(CHUNKS[0]), stream=True), "without a usable answer"),
        (call(answer=gzip.compress(b"[" * 20_000_000), encoding="gzip"), "without a usable answer"),
        (call(answer=b"x", encoding="br"), "without a usable answer"),
        (call(answer=chat(None, choices=[{"message": {"role": "assistant", "tool_calls": [TOOL]}, "finish_reason": "tool_calls"}]).partition(b"\r\n\r\n")[2]), "without a usable answer"),
        (call(answer="a\x00b"), "without a usable answer"),
        (call(messages="nothing"), "that cannot be read"),
        (call(messages=[5]), "that cannot be read"),
        (call("x" * (MOST_KEPT + 1)), f"longer than {MOST_KEPT:,} bytes"),
        (call(path="/v1/embeddings", input="a"), "of another kind"),
        (call(path="/v1/responses", input="a", previous_response_id="r", answer=json.dumps(RESPONSE).encode()), "in a conversation of several turns"),
    ],
)  # fmt: skip
def test_what_is_no_row_says_why(made, why):
    assert read_call(made).no_row == why


def test_keys_and_users_are_kept_nowhere():
    read = read_call(call(user="jane@example.org", metadata={"conversation_id": "c-1"}))
    assert "jane" not in str(read) and "c-1" not in str(read) and read.session is not None
    assert read.session == read_call(call("another", metadata={"conversation_id": "c-1"})).session


# The recorder


@pytest.fixture
def kept(tmp_path):
    """Writes calls into a store and gives its path."""

    def keep(*calls, texts=True):
        recorder = CallRecorder(open_gateway_calls(tmp_path / "calls.db"), texts=texts)
        for each in calls:
            recorder.put(each)
        recorder.close()
        assert recorder.n_lost == 0
        return tmp_path / "calls.db"

    return keep


def test_a_call_that_comes_again_is_kept_once(kept):
    store = kept(call(n=1), call(n=1), call(n=2))
    kept(call(n=2))
    with open_gateway_calls(store) as calls:
        assert list(calls.rows(["id"])) == [("call-1",), ("call-2",)]


def test_without_texts_steps_and_money_are_kept_and_nothing_that_was_said(kept):
    store = kept(*(call(f"secret {n}", answer="secret", n=n, user="jane") for n in range(3)), texts=False)
    assert b"secret" not in store.read_bytes() and MOOD.encode() not in store.read_bytes()
    (step,) = steps(store)
    assert (step.calls, step.rows, step.usd) == (3, 0, pytest.approx(3 * 4.2e-6))
    assert step.left_out == {"kept without texts": 3}
    with pytest.raises(UserError, match="none of the 3 calls"):
        harvest_gateway(step.name, store=store)


class Full:
    """Calls that a full disk refuses until it is mended."""

    def __init__(self):
        self.full, self.rows = True, []

    def add(self, rows):
        if self.full:
            raise StorageError("the disk is full")
        self.rows += rows

    def close(self):
        pass


def test_a_full_disk_loses_records_says_so_and_is_forgotten_when_it_has_room(monkeypatch):
    monkeypatch.setattr(recording, "_GROUP", 1)
    disk = Full()
    recorder = CallRecorder(disk)
    recorder.put(call(n=1))
    while recorder.trouble is None:
        pass
    assert (recorder.trouble, recorder.n_lost) == ("the disk is full", 1)
    disk.full = False
    recorder.put(call(n=2))
    recorder.close()
    assert (recorder.trouble, recorder.n_lost, recorder.n_written) == (None, 1, 1)


def test_what_waits_to_be_written_is_bounded(monkeypatch):
    monkeypatch.setattr(recording, "MOST_WAITING", 1000)
    monkeypatch.setattr(CallRecorder, "_work", lambda self: self._came.wait(0.5) and None)
    recorder = CallRecorder(Full())
    for n in range(10):
        recorder.put(call(n=n))
    assert len(recorder._waiting) <= 2 and recorder.n_lost >= 8
    assert "not kept" in recorder.trouble or "ended" in recorder.trouble


@pytest.mark.slow
def test_postgresql_keeps_the_same_rows(postgres_url):
    some = [call(f"day {n}", n=n) for n in range(5)]
    recorder = CallRecorder(open_gateway_calls(postgres_url))
    for each in (*some, some[0]):
        recorder.put(each)
    recorder.close()
    with open_gateway_calls(postgres_url) as calls:
        rows = list(calls.rows(list(COLUMNS)))
    assert [row[0] for row in rows] == [f"call-{n}" for n in range(5)]
    assert rows[0][-2:] == ("day 0", "good")
    (step,) = steps(postgres_url)
    assert step.calls == 5


# Steps


def mood_calls(n=60):
    return [call(f"day {i % 40}", answer="good" if i % 2 else "bad", n=i) for i in range(n)]


def test_steps_are_told_apart_by_what_their_calls_have_in_common(kept):
    other = [call(messages=[{"role": "system", "content": "Summarise."}, {"role": "user", "content": f"text {n}"}], answer=f"sum {n}", n=100 + n) for n in range(5)]  # fmt: skip
    named = [call(n=200 + n, metadata={"step": "greet"}, answer=f"hello {n}") for n in range(3)]
    header = [call(n=300, step="greet")]
    found = {step.name: step for step in steps(kept(*mood_calls(), *other, *named, *header))}
    mood, summary = (
        next(step for name, step in found.items() if name.startswith(start)) for start in ("is-the", "summ")
    )
    assert len(found) == 3 and found["greet"].calls == 4
    assert (mood.calls, mood.output, sorted(mood.labels), mood.repeated) == (
        60,
        "choice",
        ["bad", "good"],
        pytest.approx(1 / 3),
    )
    assert (summary.output, summary.labels, summary.n_answers) == ("text", None, 5)
    assert mood.calls_per_day is None or mood.calls_per_day > 0
    assert steps(kept())[0].name == mood.name  # the most money first


TOPIC = "Name the topic of this letter in one word.\n\nLetter: {}\n\nTopic:"


def bare(text, n, answer):
    return call(messages=[{"role": "user", "content": text}], n=n, answer=answer)


def test_a_template_in_user_messages_is_a_step_and_its_rows_hold_what_stands_in_it(kept, tmp_path):
    letters = [bare(TOPIC.format(f"my parcel {n} is late"), n, "parcel") for n in range(25)]
    greetings = [bare(f"Can you tell me what {n} and {n} makes?", 100 + n, f"{2 * n}") for n in range(25)]
    store = kept(*letters, *greetings, bare("Name the topic of this odd text.\n\nOdd", 200, "none"))
    letter, other = sorted(steps(store), key=lambda step: step.template is None)
    assert (letter.calls, letter.template) == (25, TOPIC.replace("{}", "{input}"))
    assert (other.calls, other.name, other.instruction) == (26, "calls-of-gpt-4o-mini", None)
    made = harvest_gateway(letter.name, store=store, out=tmp_path / "letters" / "rows.jsonl")
    assert load_examples(made.out).examples[3].input == "my parcel 3 is late"
    assert load_task(tmp_path / "letters").instruction.startswith("Name the topic of this letter in one word.")


def test_one_call_without_a_price_makes_the_sum_unknown(kept):
    (step,) = steps(kept(call(n=1, step="a"), call(n=2, step="a", model="x", answer=OWN)))
    assert (step.usd, step.usd_known, step.unpriced) == (None, pytest.approx(4.2e-6), 1)
    assert step.usd_per_month is None


def test_money_a_month_is_that_of_the_days_that_were_seen(kept):
    (step,) = steps(kept(*(call(n=n * 144, step="a") for n in range(11))))  # 11 calls in one day
    assert step.calls_per_day == pytest.approx(11)
    assert step.usd_per_month == pytest.approx(11 * 4.2e-6 * 30.4)


def test_json_answers_are_told_apart_from_labels(kept):
    (step,) = steps(kept(*(call(n=n, answer=json.dumps({"job": n % 3})) for n in range(30))))
    assert step.output == "json"


# Rows


def test_harvested_rows_go_with_a_task_that_advise_takes(kept, tmp_path, stillhouse):
    store = kept(
        *mood_calls(), call("?", answer="maybe", n=90, metadata={"conversation_id": "c"}), call(n=91, status=500)
    )
    name = steps(store)[0].name
    out = tmp_path / "mood" / "examples.jsonl"
    ran = stillhouse("harvest", f"gateway:{name}", "--store", store, "--out", out, "--json")
    assert ran.code == 0 and (ran.json["rows"], ran.json["calls"]) == (61, 62)
    assert ran.json["left_out"] == {"without a usable answer": 1}
    task = load_task(tmp_path / "mood")
    assert (task.instruction, task.output, task.data.copies) == (MOOD, "choice", "traffic")
    assert task.labels == ("bad", "good", "maybe")
    rows = load_examples(out).examples
    assert [row.input for row in rows][:3] == ["day 0", "day 1", "day 2"] and rows[0].teacher_label == "bad"
    assert rows[0].label is None and len({row.id for row in rows}) == 61
    with pytest.raises(ExistsError):
        harvest_gateway(name, store=store, out=out)


def test_feedback_is_gold_and_redaction_comes_before_anything_is_written(kept, tmp_path, stillhouse, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "hooks.py").write_text(
        "def hide(row):\n    row['input'] = row['input'].replace('day', '***')\n    return row\n"
    )
    (tmp_path / "said.jsonl").write_text('{"run": "call-0", "label": "good"}\n{"run": "call-1", "ok": false}\n')
    store = kept(*mood_calls(20), call(step="other", n=99))
    name = next(step.name for step in steps(store) if step.name != "other")
    ran = stillhouse("harvest", f"gateway:{name}", "--store", store, "--redact", "hooks:hide", "--feedback", "said.jsonl", "--json")  # fmt: skip
    assert (ran.json["rows"], ran.json["gold"]) == (19, 1)
    written = (tmp_path / "steps" / name / "examples.jsonl").read_text()
    assert "day" not in written and json.loads(written.splitlines()[0])["label"] == "good"


def test_feedback_through_the_gateway_is_gold_and_the_last_word_holds(tmp_path):
    recorder = CallRecorder(open_gateway_calls(tmp_path / "calls.db"))
    for each in mood_calls(20):
        recorder.put(each)
    for body in (
        b'{"call": "call-0", "answer": "good"}',
        b'{"call": "call-1", "right": false}',
        b'{"call": "call-2", "right": false}',
        b'{"call": "call-2", "right": true}',
    ):
        recorder.say(read_feedback(body))
    recorder.say(read_feedback(b'{"call": "of another step", "right": true}'))
    recorder.close()
    store = tmp_path / "calls.db"
    with open_gateway_calls(store) as calls:
        assert len(calls.feedback()) == 5
    made = harvest_gateway(steps(store)[0].name, store=store, out=tmp_path / "a" / "rows.jsonl").harvest
    assert (made.n_feedback_unused, made.n_gold) == (0, 2)
    assert made.left_out == {"feedback says it is wrong": 1}
    assert [(row.label, row.teacher_label) for row in made.examples[:2]] == [("good", "bad"), ("bad", "bad")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"right": true}',
        b'{"call": "a"}',
        b'{"call": "a", "right": true, "answer": "b"}',
        b'{"call": "a", "right": "yes"}',
        b'{"call": "a", "ok": true}',
        b'{"call": "", "right": true}',
        b'{"call": "a", "answer": "\\u0000"}',
        None,
    ],
)
def test_what_is_no_feedback_says_why(body):
    with pytest.raises(FeedbackError, match=r"; "):
        read_feedback(body)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("gateway:nothing",), "no step 'nothing'"),
        (("gateway:a", "other"), "stands alone"),
        (("gateway:a", "--step", "a"), "stands alone"),
        (("gateway:a", "--since", "soon"), "no date"),
        (("one",), "no step is named"),
    ],
)
def test_a_mistake_is_one_sentence(kept, stillhouse, arguments, why):
    ran = stillhouse("harvest", *arguments, "--store", kept(call()))
    assert ran.code == 2 and why in ran.err and "Traceback" not in ran.err


def test_the_table_of_steps_says_what_it_knows_and_what_next(kept, stillhouse):
    store = kept(*mood_calls(), call(n=99, status=500))
    ran = stillhouse("steps", "--store", store)
    assert ran.code == 0 and "2 labels" in ran.out and "stillhouse harvest gateway:is-the-mood-of" in ran.out
    assert "1 calls without a usable answer" in ran.out
    asked = stillhouse("steps", "--store", store, "--json").json["steps"][0]
    assert asked["calls"] == 61 and asked["output"] == "choice" and asked["repeated"] == pytest.approx(20 / 61)
    assert stillhouse("steps", "--store", store.with_name("none.db")).code == 2
