"""Rows of chats, and whole prompts, as apps have them: what is the input, the label, the instruction."""

import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from stillhouse.commands.flow_rows import flow_rows
from stillhouse.commands.project_of_rows import new_from_rows
from stillhouse.data.dataset import load_examples
from stillhouse.data.inference import infer
from stillhouse.data.prompt_frame import frame_of, framed, instruction_in
from stillhouse.errors import DatasetError, TaskFileError
from stillhouse.settings import DataSettings
from stillhouse.task import Task, load_task

SYSTEM = "Say what the message is about. Answer with one word."
TEXTS = [f"parcel {i} {('arrived broken', 'is late', 'was fine')[i % 3]}" for i in range(30)]
LABELS = [("damaged", "late", "fine")[i % 3] for i in range(30)]


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


def chats(*, system=SYSTEM, prompt="{}", answers=True):
    for text, label in zip(TEXTS, LABELS, strict=True):
        own = [("system", system)] * bool(system)
        yield {"messages": turns(*own, ("user", prompt.format(text)), *[("assistant", label)] * answers)}


def written(tmp_path, rows, name="chats.jsonl"):
    path = tmp_path / name
    rows = list(rows)
    if name.endswith(".parquet"):
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows))
    return path


def pairs(path, **data):
    task = Task(name="t", instruction="i", output="text", data=DataSettings(**data))
    return [(row.input, row.label) for row in load_examples(path, task=task).examples]


@pytest.mark.parametrize("name", ["chats.jsonl", "chats.json", "chats.parquet"])
def test_a_file_of_chats_is_the_last_question_its_answer_and_the_system_message(tmp_path, name):
    path = written(tmp_path, chats(), name)
    found = infer(path)
    assert found.mapping == {"input": "messages.user", "label": "messages.assistant"}
    assert (found.kind, found.instruction, found.instruction_is_own) == ("choice", SYSTEM, True)
    assert found.labels == {"damaged": 10, "late": 10, "fine": 10} and not found.warnings and not found.unused
    whole = list(zip(TEXTS, LABELS, strict=True))
    assert pairs(path) == pairs(path, map={"input": "messages"}) == pairs(path, map=dict(found.mapping)) == whole


CASES = {  # messages -> the input and the label, or what is wrong
    "turns before": ([("user", "hi"), ("assistant", "hello"), ("user", "q"), ("assistant", "a")], ("q", "a")),
    "parts": ([("user", [{"type": "text", "text": "q"}]), ("assistant", "a")], ("q", "a")),
    "no answer yet": ([("user", "hi"), ("assistant", "hello"), ("user", "q")], ("q", None)),
    "tool call": ([("user", "q"), ("assistant", None)], ("q", None)),
    "picture": ([("user", [{"type": "image_url", "image_url": {}}])], 'a part that is no text \\("image_url"\\)'),
    "no user": ([("system", "s"), ("assistant", "a")], "`messages` holds no user message before the answer"),
    "empty": ([("user", " "), ("assistant", "a")], "the last user message of `messages` is empty"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_conversation_has_one_input_and_one_answer(tmp_path, case):
    messages, expected = CASES[case]
    path = written(tmp_path, [{"messages": turns(*messages)}])
    if isinstance(expected, tuple):
        assert pairs(path) == [expected]
    else:
        with pytest.raises(DatasetError, match=expected):
            pairs(path)


def test_other_names_and_other_columns_of_chats(tmp_path):
    sharegpt = [{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "mood": "b"}]
    assert pairs(written(tmp_path, sharegpt)) == [("q", "a")]
    assert pairs(written(tmp_path, sharegpt), map={"label": "mood"}) == [("q", "b")]
    unlearned = turns(("user", "q"), ("assistant", "a"), ("user", "p"), ("assistant", "x"))
    unlearned[-1]["weight"] = 0  # OpenAI's sign for an answer that is not to be learned
    assert pairs(written(tmp_path, [{"messages": unlearned}])) == [("p", None)]
    assert pairs(written(tmp_path, [{"input": "own", "label": "b", "messages": "no list"}])) == [("own", "b")]
    rows = written(tmp_path, [{"messages": turns(("user", "q"))}])
    assert flow_rows(rows, lambda messages: None).rows[0].arguments == {"messages": turns(("user", "q"))}


def test_what_a_chat_leaves_out_is_said(tmp_path):
    rows = list(chats())
    rows[0]["messages"] = [*turns(("user", "hi"), ("assistant", "hello")), *rows[0]["messages"][1:]]
    found = infer(written(tmp_path, rows))
    assert "in 1 row, turns come before the last user message, and are left out: --map input=messages.before," in str(
        found.warnings
    )
    assert "1 row has another system message than the commonest, or none" in str(found.warnings)
    assert infer(written(tmp_path, chats(answers=False))).kind is None


PROMPT = 'Say what the message is about: damaged, late, fine.\n\nMessage: "{}"\nAnswer:'


@pytest.mark.parametrize("kind", ["chat", "csv"])
def test_whole_prompts_are_taken_apart_and_the_project_goes_on_so(tmp_path, kind):
    if kind == "chat":
        path = written(tmp_path, chats(system="", prompt=PROMPT))
    else:
        path = tmp_path / "rows.csv"
        cells = [
            '"' + PROMPT.format(text).replace('"', '""') + f'",{label}'
            for text, label in zip(TEXTS, LABELS, strict=True)
        ]
        path.write_text("\n".join(["prompt,completion", *cells]))
    found = infer(path)
    assert found.instruction == "Say what the message is about: damaged, late, fine."
    assert [row.input for row in found.rows] == TEXTS[:5]
    new_from_rows(tmp_path / "mail", found)
    task = load_task(tmp_path / "mail")
    rows = load_examples(task.resolve(task.data.train), task=task).examples
    assert [row.input for row in rows] == TEXTS
    with pytest.raises(DatasetError, match="does not have around it what `template` in \\[data\\] says"):
        pairs(written(tmp_path, chats()), template=task.data.template)


FRAMES = {
    "inputs that begin alike": ([f"The parcel that was sent to {i} is late" for i in range(30)], None),
    "a short label": ([f"Text: {i} is late" for i in range(30)], None),
    "one line of direction": (
        [f"Sort this message into a group: {i} is late" for i in range(30)],
        "Sort this message into a group: {input}",
    ),
    "behind it": (
        [f"{i} is late\n\nIs this a complaint? Yes or no." for i in range(30)],
        "{input}\n\nIs this a complaint? Yes or no.",
    ),
    "one that differs": ([*(f"Sort this message, please:\n{i} is late" for i in range(30)), "hello"], None),
    "too few to tell": ([f"Sort this message, please:\n{i} is late" for i in range(19)], None),
}


@pytest.mark.parametrize("case", FRAMES)
def test_a_template_is_what_all_texts_have_in_whole_lines(case):
    texts, template = FRAMES[case]
    assert frame_of(texts) == template
    if template is not None:
        assert all(framed(text, template) in text for text in texts) and len(instruction_in(template).split()) >= 4


def test_a_template_without_its_slot_is_refused(tmp_path):
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "t"\ninstruction = "i"\noutput = "text"\n[data]\ntemplate = "Sort this"\n'
    )
    with pytest.raises(TaskFileError, match=r"must hold \{input\} once"):
        load_task(tmp_path)
