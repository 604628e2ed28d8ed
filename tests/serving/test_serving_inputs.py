"""From a request to a row: what was sent as a prompt is read back, and no body whatever is a crash."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.llm.prompted import build_messages
from stillhouse.records import Example
from stillhouse.serving.decisions import decision_examples, parse_decision
from stillhouse.serving.errors import ApiError
from stillhouse.serving.inputs import chat_example
from stillhouse.serving.lanes import Lane
from stillhouse.serving.wire import parse_chat
from stillhouse.task import Task


class Student:
    name, family, size_bytes = "student", "linear", 0

    def __init__(self, output="choice", labels=None, input_fields=None):
        self.task = Task(name="t", instruction="Do it.", output=output, labels=labels)
        self.labels, self.input_fields = labels, input_fields

    async def predict(self, inputs):
        raise NotImplementedError


def lane(student):
    return Lane("m", student, most_waiting=1, most_per_batch=1, wait_s=0)


def asked(student, messages):
    return chat_example(lane(student), parse_chat({"model": "m", "messages": list(messages)}), "1")


texts = st.text(st.characters(exclude_categories=("Cs",))).filter(lambda text: text.strip())
lines = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n"), min_size=1)


@given(text=texts, choices=st.lists(lines, min_size=2, unique=True))
@settings(max_examples=200, deadline=None)
def test_the_prompt_of_a_row_with_choices_is_read_back(text, choices):
    student, row = Student(input_fields=()), Example("1", text, choices=tuple(choices))
    assert asked(student, build_messages(student.task, row)) == row


@given(text=texts)
@settings(max_examples=200, deadline=None)
def test_a_plain_text_is_the_input_as_it_stands(text):
    student, row = Student(labels=("a", "b"), input_fields=()), Example("1", text)
    assert asked(student, build_messages(student.task, row)) == row


@given(values=st.lists(lines, min_size=3, max_size=3), number=st.integers())
@settings(max_examples=200, deadline=None)
def test_the_prompt_of_a_row_with_fields_has_the_same_fields(values, number):
    names = ("first", "the second", "n")
    student = Student("text", input_fields=names)
    row = Example("1", dict(zip(names, [*values[:2], number], strict=True)))
    found = asked(student, build_messages(student.task, row))
    assert (found.fields, found.text, tuple(found.input)) == (row.fields, row.text, names)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("role", "content", "type", "text", "value", "x")), inner, max_size=4)
    ),
    max_leaves=8,
)
bodies = st.fixed_dictionaries(
    {"model": st.just("m")},
    optional={
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(("user", "system")), "content": json_values}), max_size=2
        )
        | json_values,
        "input": json_values,
        "questions": st.lists(
            st.fixed_dictionaries({"type": st.just("choice")}, optional={"choices": json_values}), max_size=2
        )
        | json_values,
        "choices": json_values,
        "stop": json_values,
        "tools": json_values,
        "max_tokens": json_values,
        "response_format": json_values,
    },
)


@pytest.mark.slow
@given(
    body=bodies | json_values,
    student=st.sampled_from((Student(), Student(labels=("a", "b")), Student("text", input_fields=("a",)))),
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_sent_is_a_row_or_a_sentence(body, student):
    for read in (
        lambda: chat_example(lane(student), parse_chat(body), "1"),
        lambda: decision_examples(lane(student), parse_decision(body), "1"),
    ):
        try:
            read()
        except ApiError as error:
            assert error.status == 400 and error.message


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_prompt_with_choices_is_the_same_with_other_line_ends_and_a_newline_behind_it(end, line_end):
    student, row = Student(input_fields=()), Example("1", "Which one?", choices=("a", "b"))
    *before, last = build_messages(student.task, row)
    sent = (last["content"] + end).replace("\n", line_end)
    assert asked(student, [*before, {**last, "content": sent}]) == row
