"""`card.md`: a header that Hugging Face reads, what the rows' provenance says in words, and no licence that nobody gave."""

from dataclasses import replace

import pytest
import yaml
from huggingface_hub import DatasetCard

from stillhouse.settings import DataSettings
from stillhouse.task import Task
from stillhouse.teacher.annotate import LabelReport
from stillhouse.teacher.card import card, card_path, write_card
from stillhouse.teacher.provenance import SELF_HOSTED, STAND_IN

TASK = Task("mood", "Is it good?", "choice", ("good", "bad"))
DATES = ("2026-11-24T10:00:00Z", "2026-11-25T10:00:00Z")
REPORT = LabelReport(
    teacher="openai:gpt-6-luna",
    n=12,
    labelled=10,
    lenient=2,
    from_store=0,
    rejected={"empty reply": 2},
    licences={"terms of OpenAI": 10},
    dates=DATES,
)


def header(text):
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_the_header_is_read_by_hugging_faces_own_reader():
    text = card("teacher.jsonl", TASK, REPORT)
    read = DatasetCard(text)
    assert header(text) == read.data.to_dict()
    assert read.data.license == "unknown"
    assert read.data.task_categories == ["text-classification"]
    assert read.data.annotations_creators == ["machine-generated"]
    assert read.data.size_categories == ["n<1K"]
    assert read.data.to_dict()["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "teacher.jsonl"}]}
    ]


def test_the_text_says_how_many_when_by_whom_and_what_was_left_out():
    text = card("teacher.jsonl", TASK, replace(REPORT, sent_back=3, repaired=1, with_scores=4, lacking={"schema": 12}))
    for said in (
        "10 of 12 rows were labelled by openai:gpt-6-luna between 2026-11-24 and 2026-11-25",
        "2 answers were recovered",
        "3 replies were sent back for repair; 1 labels",
        "4 labels carry the teacher's probabilities",
        "12 rows were asked without schema",
        "2 rows were rejected and are not in the file: empty reply",
        "The answers of 10 rows: the terms of OpenAI",
        "https://openai.com/policies/services-agreement/",
    ):
        assert said in text


def licence(task=TASK, licences=REPORT.licences, stated=None, data=None):
    task = replace(task.with_teacher(licence=stated), data=DataSettings(licence=data))
    found = header(card("t.jsonl", task, replace(REPORT, licences=licences)))
    return found["license"], found.get("license_name")


@pytest.mark.parametrize("licences", [{"terms of OpenAI": 1}, {SELF_HOSTED: 1}, {STAND_IN: 1}, {"unknown": 1}, {}])
def test_no_licence_is_made_of_one_half(licences):
    assert licence(licences=licences) == ("unknown", None)
    assert licence(licences=licences, data="mit") == ("unknown", None)


def test_a_licence_is_what_was_stated_for_inputs_and_answers_alike():
    assert licence(licences={"mit": 10}, stated="mit", data="mit") == ("mit", None)
    assert licence(licences={"mit": 10}, stated="mit", data="cc-by-4.0") == ("other", "inputs: cc-by-4.0; answers: mit")
    assert licence(licences={"mit": 9, "unknown": 1}, stated="mit", data="mit") == ("unknown", None)


def test_nothing_of_the_users_can_break_out_of_the_header():
    task = replace(TASK, name="mood")
    text = card('t"\n---\nlicense: mit\n.jsonl', task, replace(REPORT, teacher='http://x/v1#a"\n---\nlicense: mit'))
    assert header(text)["license"] == "unknown"
    assert DatasetCard(text).data.license == "unknown"


def test_a_card_of_another_is_never_overwritten(tmp_path):
    out = tmp_path / "teacher.jsonl"
    assert write_card(out, TASK, REPORT) == tmp_path / "card.md" == card_path(out)  # ones own is written anew
    assert card_path(tmp_path / "other.jsonl") == tmp_path / "other.card.md"
    (tmp_path / "card.md").write_text("my own card\n")
    assert write_card(out, TASK, REPORT) == tmp_path / "teacher.card.md"
    assert (tmp_path / "card.md").read_text() == "my own card\n"


def test_an_instruction_is_words_and_no_page():
    instruction = "# Big\n<script>alert(1)</script>\n![p](http://evil/p.png) \x1b[2J"
    text = card("a--><b>.jsonl", replace(TASK, name="x\n# y <i>", instruction=instruction), REPORT)
    body = text.split("---\n", 2)[2]
    assert "<script" not in body and "<i>" not in body and "<b>" not in body and "\x1b" not in body
    assert "![p](" not in body and [line for line in body.splitlines() if line.startswith("# ")] == [
        next(line for line in body.splitlines() if line.startswith("# x # y &lt;i>"))
    ]
