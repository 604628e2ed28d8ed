"""The cascade: who answers, what it costs, that a failing teacher is never papered over, and the audit of what was kept."""

import json
from dataclasses import replace

import aiohttp
import pytest

from stillhouse.errors import BudgetError, CannotTellError, StorageError, UserError
from stillhouse.evaluation.proportions import clopper_pearson
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.prompted import PromptedPredictor
from stillhouse.llm.request import Completion
from stillhouse.records import Example, Prediction, Predictor, Usage
from stillhouse.serving.cascade import CascadePredictor, agreement
from stillhouse.store import open_store
from stillhouse.student.artifact import Student
from stillhouse.task import Task

TASK = Task(name="parity", instruction="Is the number odd or even?", output="choice", labels=("odd", "even"))


class Sure:
    """A student whose confidence is the number it is given, in percent. It always says even."""

    name, family, task, labels, size_bytes = "sure", "majority", TASK, TASK.labels, 0

    async def predict(self, inputs):
        return [self.answer(row) for row in inputs]

    def answer(self, row):
        if row.input == "none":
            return Prediction(None, error="no idea", latency_s=1.0)
        return Prediction("even", confidence=None if row.input == "unsure" else int(row.input) / 100, latency_s=1.0)


class Knows:
    """A teacher that knows, for a cent and two seconds. Asked about 13 its budget is spent."""

    name = "knows"

    def __init__(self, cost_usd=0.01):
        self.cost_usd, self.asked = cost_usd, []

    async def predict(self, inputs):
        self.asked += [row.input for row in inputs]
        if any(row.input == "13" for row in inputs):
            raise BudgetError("the cap of $1 is reached; raise max_usd")
        return [self.answer(row) for row in inputs]

    def answer(self, row):
        if row.input == "silent":
            return Prediction(None, error="no label in the reply", cost_usd=self.cost_usd, latency_s=2.0)
        return Prediction("odd" if row.input[-1] in "13579" else "even", cost_usd=self.cost_usd, latency_s=2.0)


def rows(*inputs):
    return [Example(f"row {text}", text) for text in inputs]


def cascade(teacher=None, threshold=0.5, **settings):
    return CascadePredictor(Sure(), teacher or Knows(), threshold, name="parity/cascade", **settings)


async def test_the_student_keeps_what_it_is_sure_of_and_the_teacher_gets_the_rest():
    teacher = Knows()
    kept, at_threshold, below = await cascade(teacher).predict(rows("91", "50", "49"))
    assert (kept.output, kept.source, kept.cost_usd, kept.latency_s) == ("even", "student", 0.0, 1.0)
    assert at_threshold.source == "student"
    assert (below.output, below.source, below.cost_usd, below.latency_s) == ("odd", "teacher", 0.01, 3.0)
    assert teacher.asked == ["49"]


async def test_rows_without_an_answer_or_a_confidence_go_to_the_teacher():
    answers = await cascade().predict(rows("none", "unsure"))
    assert [answer.source for answer in answers] == ["teacher", "teacher"]


async def test_a_cost_that_the_teacher_does_not_know_stays_unknown():
    (answer,) = await cascade(Knows(cost_usd=None)).predict(rows("1"))
    assert answer.cost_usd is None


async def test_a_failing_teacher_fails_its_own_rows_and_the_student_does_not_step_in():
    kept, broken, asked = await cascade().predict(rows("80", "13", "12"))
    assert (broken.output, broken.source, broken.confidence) == (None, "teacher", None)
    assert broken.error == "the teacher failed: the cap of $1 is reached; raise max_usd"
    assert (kept.output, asked.output) == ("even", "even")


async def test_a_teacher_without_an_answer_is_an_error_that_was_paid_for():
    student = Sure()
    student.answer = lambda row: Prediction(None)
    (answer,) = await CascadePredictor(student, Knows(), 0.5, name="c").predict(rows("silent"))
    assert (answer.output, answer.error, answer.cost_usd) == (None, "no label in the reply", 0.01)


def test_a_cascade_is_a_student_to_those_who_ask_what_it_does():
    made = cascade()
    assert isinstance(made, Predictor) and not isinstance(made, Student)
    assert (made.task, made.labels, made.name) == (TASK, ("odd", "even"), "parity/cascade")


@pytest.mark.parametrize("settings", [{"threshold": float("nan")}, {"audit_share": 1.5}])
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(UserError):
        cascade(**settings)


# Audit


async def test_the_audit_records_both_answers_of_kept_rows_alone(tmp_path):
    path = tmp_path / "audit" / "rows.jsonl"
    teacher = Knows()
    made = cascade(teacher, audit=path, audit_share=1.0)
    answers = await made.predict(rows("90", "91", "20"))
    await made.drain()
    assert [answer.output for answer in answers] == ["even", "even", "even"]
    assert [answer.cost_usd for answer in answers] == [0.0, 0.0, 0.01]
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {
            "id": "row 90",
            "student": "even",
            "teacher": "even",
            "confidence": 0.9,
            "threshold": 0.5,
            "cost_usd": 0.01,
            "error": None,
        },
        {
            "id": "row 91",
            "student": "even",
            "teacher": "odd",
            "confidence": 0.91,
            "threshold": 0.5,
            "cost_usd": 0.01,
            "error": None,
        },
    ]
    found = agreement(path, interval=clopper_pearson)
    assert (found.value, found.n, found.method) == (0.5, 2, "clopper-pearson")
    assert found.low == pytest.approx(0.0126, abs=1e-4)


async def test_the_audited_share_is_drawn_by_the_seed(tmp_path):
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        made = cascade(audit=tmp_path / name, audit_share=0.02, seed=seed)
        await made.predict(rows(*["90"] * 3000))
        await made.drain()
        drawn.append(len((tmp_path / name).read_text().splitlines()))
    assert drawn[0] == drawn[1]
    assert all(35 <= n <= 90 for n in drawn)  # 60 expected; these are four standard deviations


async def test_without_a_file_nothing_is_audited():
    teacher = Knows()
    await cascade(teacher, audit_share=1.0).predict(rows("90"))
    assert teacher.asked == []


async def test_audited_rows_that_the_teacher_failed_are_recorded_and_not_counted(tmp_path):
    path = tmp_path / "audit.jsonl"
    made = cascade(threshold=0.1, audit=path, audit_share=1.0)
    (answer,) = await made.predict(rows("13"))
    await made.drain()
    assert answer.output == "even"
    assert "cap of $1" in json.loads(path.read_text())["error"]
    with pytest.raises(CannotTellError, match="no audited row"):
        agreement(path)


async def test_a_torn_line_neither_stops_the_audit_nor_its_summary(tmp_path):
    path = tmp_path / "audit.jsonl"
    path.write_text('{"id": "1", "student": "even", "teacher": "even"}\n{"id": "2", "stud')
    made = cascade(audit=path, audit_share=1.0)
    await made.predict(rows("90"))
    await made.drain()
    found = agreement(path)
    assert (found.value, found.n, found.low) == (1.0, 2, None)


async def test_an_audit_that_cannot_be_written_is_logged_and_stops_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    made = cascade(audit=tmp_path / "file" / "audit.jsonl", audit_share=1.0)
    (answer,) = await made.predict(rows("90"))
    await made.drain()
    assert answer.output == "even"
    assert "an audited row was not recorded" in caplog.text


@pytest.mark.parametrize("content", [None, '{"no": "audit"}\n'])
def test_a_file_that_is_no_audit_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "audit.jsonl").write_text(content)
    with pytest.raises(UserError, match=r"audit\.jsonl"):
        agreement(tmp_path / "audit.jsonl")


async def test_a_stored_reply_of_the_teacher_was_not_paid_for_now(start, tmp_path):
    async def call(request, example):
        return Completion("odd", usage=Usage(5, 1))

    body = {"model": "c", "messages": [{"role": "user", "content": "13"}]}
    with open_store(tmp_path / "s.db") as store:
        made = cascade(
            PromptedPredictor(MeteredModel("m", call, store, Ledger(None), price_in=1.0, price_out=1.0), TASK)
        )
        async with start({"c": made}) as url, aiohttp.ClientSession() as session:
            costs = []
            for _ in range(2):
                async with session.post(f"{url}/chat/completions", json=body) as response:
                    costs.append((await response.json())["stillhouse"]["cost_usd"])
    assert costs[0] > 0 and costs[1] == 0


# A store that cannot keep what was paid for


class Full:
    """A store on a full disk."""

    asked = 0

    def get(self, hash_):
        return None

    def known(self, hashes):
        return set()

    async def claim(self, hash_, batch=None):
        raise StorageError("/data/store.db: the disk is full; free some space")

    def release(self, hash_):
        pass

    async def put(self, row):
        raise StorageError("/data/store.db: the disk is full; free some space")


async def test_on_a_full_disk_the_paid_answer_is_given_and_marked(start, caplog):
    calls = []

    async def call(request, example):
        calls.append(request)
        return Completion("odd", usage=Usage(5, 1))

    model = MeteredModel("m", call, Full(), Ledger(None), price_in=1.0, price_out=1.0)
    made = cascade(PromptedPredictor(model, TASK))
    body = {"model": "c", "messages": [{"role": "user", "content": "13"}]}
    async with start({"c": made}) as url, aiohttp.ClientSession() as session:
        async with session.get(url.removesuffix("v1") + "health") as response:
            assert await response.json() == {"status": "ok"}
        for stream in (False, True):
            async with session.post(f"{url}/chat/completions", json=body | {"stream": stream}) as response:
                assert (response.status, response.headers["Stillhouse-Unstored"]) == (200, "true")
                assert "odd" in await response.text()
        body["messages"][0]["content"] = "90"
        async with session.post(f"{url}/chat/completions", json=body) as response:
            assert response.status == 200 and "Stillhouse-Unstored" not in response.headers
        async with session.get(url.removesuffix("v1") + "health") as response:
            told = await response.json()
        assert (told["status"], told["unstored_answers"]) == ("degraded", {"c": 2}) and "/data" not in str(told)
    assert len(calls) == 2 and caplog.text.count("the disk is full") == 1
    with pytest.raises(StorageError):  # elsewhere what cannot be kept stops the work
        await PromptedPredictor(model, TASK).predict(rows("13"))


async def test_a_disk_that_takes_no_audits_is_said_once_until_it_takes_them_again(tmp_path, caplog):
    (tmp_path / "file").touch()
    made = cascade(audit=tmp_path / "file" / "audit.jsonl", audit_share=1.0)
    for number in range(4):
        if number == 2:
            made.audit = tmp_path / "audit.jsonl"
        if number == 3:
            made.audit = tmp_path / "file" / "audit.jsonl"
        await made.predict(rows("80", "90"))
        await made.drain(5)
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 2
    assert caplog.text.count("an audited row was not recorded") == 2


class Freed(Full):
    """A store on a disk that is full until it is freed."""

    full = True

    async def claim(self, hash_, batch=None):
        return await super().claim(hash_, batch) if self.full else "ours"

    async def put(self, row):
        if self.full:
            await super().put(row)


async def test_the_health_recovers_with_the_disk_and_a_paid_reply_without_a_label_is_marked_too(start, caplog):
    async def call(request, example):
        return Completion("no label" if "unsure" in str(request.messages[-1]) else "odd", usage=Usage(5, 1))

    store = Freed()
    model = MeteredModel("m", call, store, Ledger(None), price_in=1.0, price_out=1.0)
    made = cascade(PromptedPredictor(model, TASK))
    async with start({"c": made}) as url, aiohttp.ClientSession() as session:

        async def ask(text):
            body = {"model": "c", "messages": [{"role": "user", "content": text}]}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                return response.status, response.headers.get("Stillhouse-Unstored")

        async def health():
            async with session.get(url.removesuffix("v1") + "health") as response:
                return (await response.json())["status"]

        assert (await ask("unsure"), await health()) == ((502, "true"), "degraded")
        store.full = False
        assert (await ask("13"), await health()) == ((200, None), "ok")
        store.full = True
        assert (await ask("13"), await health()) == ((200, "true"), "degraded")
    assert caplog.text.count("the disk is full") == 2  # once each time that it fills up


async def test_of_several_samples_one_that_is_not_kept_marks_the_answer():
    async def call(request, example):
        return Completion("odd", usage=Usage(5, 1))

    task = replace(TASK, teacher=TASK.teacher.model_copy(update={"samples": 3, "temperature": 0.7}))
    model = MeteredModel("m", call, Full(), Ledger(None))
    (answer,) = await cascade(PromptedPredictor(model, task)).predict(rows("13"))
    assert answer.output == "odd" and answer.is_unstored


async def test_a_store_that_cannot_be_read_fails_the_row_without_its_path(caplog):
    class Gone(Full):
        def get(self, hash_):
            raise StorageError("/data/store.db: not a database; restore it")

        def known(self, hashes):
            raise StorageError("/data/store.db: not a database; restore it")

    model = MeteredModel("m", None, Gone(), Ledger(None))
    (answer,) = await cascade(PromptedPredictor(model, TASK)).predict(rows("13"))
    assert answer.output is None and "/data" not in answer.error and "/data" in caplog.text
