"""An app's prompt in any form: its input is taken out to the character, and what is not known of it is left alone."""

import random

import aiohttp
import openai
import pytest

from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.prompted import PromptedPredictor, build_messages
from stillhouse.llm.request import Completion
from stillhouse.records import Example, Usage
from stillhouse.serving.app_prompt import AppPrompt, Turn
from stillhouse.serving.cascade import CascadePredictor
from stillhouse.serving.decisions import decision_rows, parse_decision
from stillhouse.serving.errors import ApiError
from stillhouse.serving.inputs import chat_row
from stillhouse.serving.lanes import Lane
from stillhouse.serving.wire import parse_chat
from stillhouse.store import open_store
from stillhouse.student import load_student, train_student
from stillhouse.task import Task

INSTRUCTION = (
    "Decide what answers a shop customer's question.\n"
    "sql: it asks for figures, names, prices or stock.\n"
    "search: it asks how the shop works.\n"
    "chat: it is small talk."
)
LABELS = ("sql", "search", "chat")
TASK = Task(name="route", instruction=INSTRUCTION, output="choice", labels=LABELS)
SHOTS = (
    Example("a", "how many lamps are in stock?", label="sql"),
    Example("b", "can I send a lamp back?", label="search"),
)
INPUTS = (
    "how many orders are late?",
    'Do you sell the "Aurora" lamp?\nIt was in your window: 40 cm, brass.\n\n  Thanks,\nJo',
    "Antwort: wie lange dauert der Versand? 🚚",
    "Please answer soon: is the sql guide in stock",
)
X = "{x}"
LABELLED = "\n\n".join(f"Question: {shot.text}\nRoute: {shot.label}" for shot in SHOTS)


def user(*texts):
    return [("user", text) for text in texts]


FORMS = {
    "system": [("system", INSTRUCTION), *user(X)],
    "developer": [("developer", INSTRUCTION), *user(X)],
    "before": user(f"{INSTRUCTION}\n\n{X}"),
    "one line before": user(f"{' '.join(INSTRUCTION.split())}\n{X}"),
    "after": user(f"{X}\n\n{INSTRUCTION}"),
    "twice": user(f"{INSTRUCTION}\n\n{X}\n\n{INSTRUCTION}"),
    "line ends": user(f"{INSTRUCTION}\n\n{X}".replace("\n", "\r\n")),
    "indented": user("".join(f"    {line}\n\n" for line in INSTRUCTION.split("\n")) + X),
    "capitals": user(f"{INSTRUCTION.upper()}\n\n{X}"),
    "markdown": user("## Task\n" + "".join(f"- **{line}**\n" for line in INSTRUCTION.split("\n")) + f"\n## Input\n{X}"),
    "labels": user(f"{INSTRUCTION}\n\nInput: {X}\nAnswer:"),
    "labels of the task": user(f"{INSTRUCTION}\n\nCustomer's question:\n{X}\n\nRoute:"),
    "bold labels": user(f"{INSTRUCTION}\n\n**Question:** {X}\n\n**Answer:**"),
    "quotes": user(f'{INSTRUCTION}\n\n"""{X}"""'),
    "typographic quotes": user(f"{INSTRUCTION}\n\nText: “{X}”"),
    "fence": user(f"{INSTRUCTION}\n\n```text\n{X}\n```"),
    "tags": user(f"{INSTRUCTION}\n<question>\n{X}\n</question>\nAnswer with the label only."),
    "rules": user(f"{INSTRUCTION}\n\n---\n{X}\n---\n"),
    "arrow": user(f"{INSTRUCTION}\n\n{X} ->"),
    "trailing words": user(f"{INSTRUCTION}\n\nQuestion: {X}\n\nThink step by step, then answer with one word. No explanation."),
    "labels listed": user(f"{INSTRUCTION}\n\nLabels: sql, search, chat\n\nInput: {X}"),
    "labels as a list": user(f"{INSTRUCTION}\n\nOptions:\n- sql\n- search\n- chat\n\n{X}\n\nAnswer:"),
    "form of ours": user(f"{build_messages(TASK, SHOTS[0])[0]['content']}\n\n{X}"),
    "persona": [("system", "You are a helpful assistant."), *user(f"{INSTRUCTION}\n\n{X}")],
    "persona in one": user(f"You are a helpful assistant.\n\n{INSTRUCTION}\n\n{X}"),
    "alpaca": user(f"Below is an instruction that describes a task, paired with an input. Write a response.\n\n### Instruction:\n{INSTRUCTION}\n\n### Input:\n{X}\n\n### Response:"),
    "edited": user(f"{INSTRUCTION.replace('Decide what', 'Please decide what')} Reply in lower case.\n\n{X}"),
    "worded otherwise in a line": user(f"{INSTRUCTION.replace('how the shop works', 'how this store works')}\n\n{X}"),
    "messages of their own": user(INSTRUCTION, X),
    "input first": user(X, INSTRUCTION),
    "system last": [*user(X), ("system", INSTRUCTION)],
    "all in the system message": [("system", f"{INSTRUCTION}\n\nInput: {X}")],
    "few-shot turns": [
        *user(f"{INSTRUCTION}\n\n{SHOTS[0].text}"), ("assistant", "sql"), *user(SHOTS[1].text), ("assistant", "search"), *user(X),
    ],
    "few-shot in one": user(f"{INSTRUCTION}\n\n{LABELLED}\n\nQuestion: {X}\nRoute:"),
    "few-shot of the app's own": user(f"{INSTRUCTION}\n\nExamples:\nwhat is up -> chat\nprice of a rug -> sql\n{X} ->"),
    "few-shot in tags": user(f"{INSTRUCTION}\n<examples>\n<example>{SHOTS[0].text} sql</example>\n</examples>\n\n{X}"),
    "the task's own examples": user(f"{INSTRUCTION}\n\n{SHOTS[0].text}\nsql\n\n{SHOTS[1].text}\nsearch\n\n{X}"),
    "the answer begun": [*user(f"{INSTRUCTION}\n\nQuestion: {X}"), ("assistant", "Answer:")],
}  # fmt: skip


def prompt(task=TASK, **more):
    return AppPrompt(task, **{"labels": task.labels, "fields": (), "shots": SHOTS, "worn": frozenset(), **more})


@pytest.mark.parametrize("text", INPUTS)
@pytest.mark.parametrize("form", FORMS)
def test_the_input_is_taken_out_of_a_prompt_of_any_form(form, text):
    turns = [Turn(role, content.replace(X, text)) for role, content in FORMS[form]]
    found = prompt().input_in(turns)
    assert (found.text, found.knows) == (text, True)


@pytest.mark.parametrize(
    "form", [form for form in FORMS if "label" not in form and form not in ("tags", "few-shot in one", "system")]
)
def test_what_was_taught_without_such_facts_is_read_too(form):
    """Students of earlier versions do not say what their inputs wear."""
    turns = [Turn(role, content.replace(X, INPUTS[0])) for role, content in FORMS[form]]
    assert prompt(worn=None).input_in(turns).text == INPUTS[0]


def test_an_input_alone_is_left_as_it_stands():
    for text in (*INPUTS, ' "quoted"\n', "sql: is it?", "Decide what answers", "a -> b", "Result:", "```\ncode\n```"):
        for worn in (None, frozenset()):
            assert prompt(worn=worn).input_in([Turn("user", text)]).text.strip() in (text.strip(), text.strip(" \n`"))


def test_a_text_with_some_words_of_the_instruction_does_not_hold_it():
    text = "I want to know how the shop works, and what answers a shop gives to small talk"
    found = prompt().input_in([Turn("user", text)])
    assert (found.text, found.knows, found.taken) == (text, False, frozenset())


def test_a_user_who_quotes_the_instruction_is_no_prompt():
    text = f"You were told this: {INSTRUCTION} Is that right?"
    assert prompt().input_in([Turn("system", INSTRUCTION), Turn("user", text)]).text == text


def test_what_the_training_inputs_wear_is_theirs():
    turns = [Turn("user", f'{INSTRUCTION}\n\n"how many?"')]
    assert prompt().input_in(turns).text == "how many?"
    assert prompt(worn=frozenset({"quotes"})).input_in(turns).text == '"how many?"'


def test_a_slot_in_the_instruction_is_where_the_input_stands():
    task = Task(
        name="t", instruction="Sort this mail into a folder.\nMail: {mail}\nAnswer with the folder.", output="text"
    )
    turns = [Turn("user", "Sort this mail into a folder.\nMail: hello there\nAnswer with the folder.")]
    assert prompt(task, labels=None, shots=()).input_in(turns).text == "hello there"


def test_a_short_instruction_is_no_word_of_an_input():
    task = Task(name="t", instruction="Sentiment?", output="choice", labels=("good", "bad"))
    reader = prompt(task, shots=())
    for text in ("market sentiment? it is low", "Sentiment is low"):
        assert reader.input_in([Turn("user", text)]).text == text
    for text in ("Sentiment?\nit is low", "it is low\n\nSentiment:", "**Sentiment?** it is low"):
        assert reader.input_in([Turn("user", text)]).text == "it is low"


def test_an_input_that_begins_as_a_worked_example_does_is_whole():
    text = f"{SHOTS[1].text} And how long does that take?"
    assert prompt().input_in([Turn("user", f"{INSTRUCTION}\n\n{text}")]).text == text


def test_words_added_to_the_instruction_are_no_input():
    added = INSTRUCTION.replace("search: it", "Be careful with these two here, please.\nsearch: it")
    for text in (f"{added}\n\nhow many?", f"how many?\n\n{added}"):
        assert prompt().input_in([Turn("user", text)]).text == "how many?"


def test_examples_of_answers_that_are_no_labels_are_left_out():
    task = Task(name="t", instruction="Write the SQL query that answers a question on the shop.", output="text")
    pairs = (
        "Question: how many?\nSQL: SELECT 1\n\nQuestion: which?\nSQL: SELECT a\n  FROM b\n\nQuestion: Who: we?\nSQL:"
    )
    assert (
        prompt(task, labels=None, shots=()).input_in([Turn("user", f"{task.instruction}\n\n{pairs}")]).text
        == "Who: we?"
    )


class Fields:
    name, family, size_bytes, labels = "pair", "linear", 0, ("yes", "no")
    input_fields = ("premise", "hypothesis")
    task = Task(
        name="pair", instruction="Does the premise prove the hypothesis?", output="choice", labels=("yes", "no")
    )

    async def predict(self, inputs):
        raise NotImplementedError


def row_of(student, messages):
    lane = Lane("m", student, most_waiting=1, most_per_batch=1, wait_s=0)
    return chat_row(lane, parse_chat({"model": "m", "messages": messages}), "1").row


@pytest.mark.parametrize(
    "texts",
    [
        ["premise: A dog runs.\nhypothesis: It moves."],
        ["Does the premise prove the hypothesis?\n\nPremise: A dog runs.\nHypothesis: It moves.\nAnswer:"],
        ["Does the premise prove the hypothesis?\n\n**Hypothesis:** It moves.\n\n**Premise:** A dog runs.\n"],
        ['Does the premise prove the hypothesis?\n```json\n{"hypothesis": "It moves.", "premise": "A dog runs."}\n```'],
        ["Does the premise prove the hypothesis?", "Premise: A dog runs.", "Hypothesis: It moves."],
    ],
)
def test_several_fields_are_found_in_the_prompt(texts):
    found = row_of(Fields(), [{"role": "user", "content": text} for text in texts])
    assert dict(found.input) == {"premise": "A dog runs.", "hypothesis": "It moves."}


def test_parts_of_a_message_are_read_together():
    class Student(Fields):
        input_fields, labels, task = (), LABELS, TASK

    part = lambda text: {"type": "text", "text": text}  # noqa: E731
    whole = [part(INSTRUCTION), part("how many"), part("?")]
    assert row_of(Student(), [{"role": "user", "content": whole}]).input == "how many\n?"
    assert row_of(Student(), [{"role": "user", "content": whole[1:]}]).input == "how many?"


def test_choices_below_the_input_are_found_behind_the_prompt():
    class Student(Fields):
        input_fields, labels, task = (
            (),
            None,
            Task(name="pick", instruction="Pick the best of these answers.", output="choice"),
        )

    row = Example("1", "what is warm?", choices=("sun", "ice"))
    content = build_messages(Student.task, row)[-1]["content"]
    sent = [{"role": "user", "content": f"{Student.task.instruction}\n\nInput: {content}\n\nAnswer:"}]
    assert row_of(Student(), sent) == row


def test_the_decisions_api_reads_the_same_prompts():
    class Student(Fields):
        input_fields, labels, task = (), LABELS, TASK

    lane = Lane("m", Student(), most_waiting=1, most_per_batch=1, wait_s=0)
    asked = {"type": "choice", "choices": [{"value": label} for label in LABELS]}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": f"{INSTRUCTION}\n\nInput: how many?\nAnswer:"},
    ]
    for sent in (messages[-1]["content"], messages):
        (row,) = decision_rows(lane, parse_decision({"model": "m", "input": sent, "questions": [asked]}), "1")
        assert row.row.input == "how many?" and "instruction" in row.taken


def steps_of(text):
    """Lines of Python that the reader runs for a text: work, whatever the machine."""
    import sys

    steps = 0

    def trace(frame, event, argument):
        nonlocal steps
        steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        prompt().input_in([Turn("user", text)])
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.parametrize(
    "unit",
    ["word ", "\n", '"', "Answer with the label.\n", "Input: x\nAnswer: sql\n", "<question>", "sql: ", INSTRUCTION + "\n", "a -> sql\n", "```\n"],
    ids=repr,
)  # fmt: skip
def test_the_work_grows_with_the_text_and_no_faster(unit):
    small, large = (steps_of(f"{INSTRUCTION}\n\n{unit * (size // len(unit) + 1)}end") for size in (1_000, 8_000))
    assert large < 8 * small + 2_000


WORDS = {
    "sql": ("stock", "price", "orders"),
    "search": ("returns", "delivery", "opening"),
    "chat": ("hello", "weather", "joke"),
}


def questions(n, seed=0):
    draw = random.Random(seed)
    for number in range(n):
        label = LABELS[number % 3]
        yield Example(str(number), f"tell me {draw.choice(('about', 'of'))} the {draw.choice(WORDS[label])} {draw.choice(('today', 'here', 'now'))}", label=label)  # fmt: skip


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    out = tmp_path_factory.mktemp("prompts") / "route"
    rows = list(questions(120))
    train_student("linear", TASK, rows[:90], rows[90:], source="gold", seed=0, out=out)
    return load_student(out)


UNKNOWN = (
    "Which of these categories fits the text? Possible values are sql, search and chat. Return just one value: {x}"
)


async def test_a_student_answers_the_apps_prompt_as_it_answers_the_input(student, start):
    rows = list(questions(9, seed=5))
    async with start({"route": student}) as url:
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

        async def answer(form, row):
            messages = [{"role": role, "content": text.replace(X, row.text)} for role, text in FORMS[form]]
            done = await client.chat.completions.create(model="route", messages=messages)
            return done.choices[0].message.content, done.stillhouse["confidence"]

        for row in rows:
            alone = await answer("system", row)
            assert alone[0] == row.label
            for form in ("before", "after", "labels", "few-shot in one", "trailing words", "few-shot turns"):
                assert await answer(form, row) == alone
        health = f"{url.removesuffix('v1')}health"
        async with aiohttp.ClientSession() as session, session.get(health) as response:
            counted = (await response.json())["inputs"]["route"]
    assert counted == {"asked": 63, "taken_out": 45, "unlike_training": 0, "passed_on": 0}


async def test_what_is_unlike_the_training_inputs_is_answered_counted_and_logged_once(student, start, caplog):
    async with start({"route": student}) as url:
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
        for text in (UNKNOWN.replace(X, "the stock"), UNKNOWN.replace(X, "the delivery"), "tell me of the stock now"):
            raw = await client.chat.completions.with_raw_response.create(
                model="route", messages=[{"role": "user", "content": text}]
            )
            assert raw.parse().choices[0].message.content in LABELS
            assert raw.parse().stillhouse["unlike_training"] == (
                raw.headers.get("Stillhouse-Unlike-Training") == "true"
            )
            assert raw.parse().stillhouse["unlike_training"] == (text[0] == "W")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url.removesuffix('v1')}health") as response:
                health = await response.json()
            async with session.get(f"{url.removesuffix('v1')}metrics") as response:
                metrics = await response.text()
    assert health["inputs"]["route"] == {"asked": 3, "taken_out": 0, "unlike_training": 2, "passed_on": 0}
    assert 'stillhouse_unlike_training_total{model="route"} 2' in metrics.splitlines()
    (logged,) = [record.getMessage() for record in caplog.records if "unlike" in record.getMessage()]
    assert "route: an input is unlike the training inputs" in logged and "stock" not in logged


async def test_a_cascade_passes_what_it_does_not_know_to_the_teacher_as_it_came(student, start, tmp_path):
    seen = []

    async def call(request, example):
        seen.append([dict(message) for message in request.messages])
        return Completion("Search!", usage=Usage(5, 1))

    with open_store(tmp_path / "s.db") as store:
        teacher = PromptedPredictor(MeteredModel("m", call, store, Ledger(None), price_in=1.0, price_out=1.0), TASK)
        made = CascadePredictor(student, teacher, 0.0, name="c")
        async with start({"c": made}) as url:
            client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

            async def ask(*messages):
                told = [{"role": role, "content": text} for role, text in messages]
                done = await client.chat.completions.create(model="c", messages=told)
                return done.choices[0].message.content, done.stillhouse["source"]

            assert await ask(("user", f"{INSTRUCTION}\n\nInput: tell me of the stock now\nAnswer:")) == (
                "sql",
                "student",
            )
            sent = [("system", "Be brief."), ("user", UNKNOWN.replace(X, "the stock"))]
            assert await ask(*sent) == ("Search!", "teacher")
            assert seen == [[{"role": role, "content": text} for role, text in sent]]
            # An input that is new, and says nothing of what is wanted, is asked with the task's own prompt.
            new = " ".join(f"qwxz{number}" for number in range(30))
            assert await ask(("user", new)) == ("search", "teacher")
            assert seen[1] == list(build_messages(TASK, Example("1", new)))
            async with aiohttp.ClientSession() as session, session.get(f"{url.removesuffix('v1')}health") as response:
                counted = (await response.json())["inputs"]["c"]
    assert counted == {"asked": 3, "taken_out": 1, "unlike_training": 2, "passed_on": 2}


async def test_the_generated_app_is_unchanged_but_for_the_address(tmp_path, monkeypatch, start, student):
    import asyncio
    import runpy

    from stillhouse.commands.new import new

    monkeypatch.chdir(tmp_path)
    new(tmp_path / "route")
    assert "runs/route-distill-1" in (tmp_path / "route" / "app.py").read_text()
    rows = []

    class Large:
        """The large model, whose name the app calls; the student is served in its place."""

        name, family, size_bytes, input_fields = "large", "linear", 0, ()
        labels, task = student.labels, student.task

        async def predict(self, inputs):
            rows.extend(inputs)
            return await student.predict(inputs)

    def run(url):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        return runpy.run_path(str(tmp_path / "route" / "app.py"))["answer"]("how many orders were sent to Lisbon?")

    for name, also in (("route", {}), ("my-task", {"route": "my-task"})):
        async with start({name: Large()}, also=also) as url:
            assert await asyncio.to_thread(run, url) in LABELS
    assert [row.input for row in rows] == ["how many orders were sent to Lisbon?"] * 2


def test_an_empty_request_is_still_a_sentence(student):
    for messages in ([{"role": "user", "content": " "}], [{"role": "assistant", "content": "sql"}]):
        with pytest.raises(ApiError):
            row_of(student, messages)


def test_damaged_facts_of_the_training_inputs_are_a_sentence(student, tmp_path):
    from stillhouse.errors import ArtifactError
    from stillhouse.student import likeness

    facts = {"instruction": INSTRUCTION, "labels": LABELS}
    assert likeness.read(tmp_path, **facts) is None
    likeness.write(tmp_path, student.likeness)
    assert likeness.read(tmp_path, **facts) == student.likeness
    path = tmp_path / "likeness.json"
    whole = path.read_text()
    for old, new in (('"n":', '"m":'), ('"counts": "', '"counts": "?'), ('"counts": "', '"counts": "AAAA')):
        path.write_text(whole.replace(old, new))
        with pytest.raises(ArtifactError, match=r"likeness\.json: .*; copy the student again"):
            likeness.read(tmp_path, **facts)
