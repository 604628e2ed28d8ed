"""Patterns that meet a model's reply: in time that grows with the text, and refused in a sentence where they cannot."""

import json
import subprocess
import sys

import pytest

from stillhouse.errors import TaskFileError
from stillhouse.llm.parsing import parse_reply
from stillhouse.patterns import PatternError, compiled, schema_validator
from stillhouse.records import Example
from stillhouse.task import Task, load_task

SPINS = "(a+)+b"
LETTERS = "a" * 51


def in_a_child(code: str, cpu_s: int = 20) -> str:
    """What the code prints; a child that spins is ended by its limit on processor time."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_CPU, ({cpu_s}, {cpu_s}))\n{code}"
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True)
    assert done.returncode == 0, (
        f"after {done.stdout.splitlines()[-1:]} ended with {done.returncode}: {done.stderr[-2000:]}"
    )
    return done.stdout.strip()


SAMPLES = [
    (r"^\w+$", ["Straße", "two words", "naïve_9", "٣", "", "-"]),
    (r"^\W$", [" ", "é", "-", "_", "‿", "\u3000", "\u0301"]),
    (r"^[\w-]+$", ["é-é", "é é"]),
    (r"^[\W]+$", ["!?", "é!"]),
    (r"a\sb", ["a b", "a\u00a0b", "a\x0bb", "a\x1fb", "a_b", "a\u2003b"]),
    (r"a\Sb", ["a b", "a\u00a0b", "axb", "aéb", "a\U0001f600b"]),
    (r"^[\s\S]+$", ["a\nb", "\u3000é"]),
    (r"^\d+$", ["12", "٣٤", "1a"]),
    (r"^\D+$", ["٣", "ab"]),
    (r"^[\dA-F]+$", ["1F", "٣", "G"]),
    ("^[]a]+$", ["]a", "b"]),
    ("^[^]a]+$", ["xy", "]"]),
    ("^[[:a]+$", ["[:a", "b"]),
    (r"^[\]\\^-]+$", ["]\\^-", "a"]),
    (r"\Aab\Z", ["ab", "ab ", "xab"]),
    ("\\u00e9\\U0001f600?", ["é", "é😀", "e"]),
    (r"[\b]", ["\x08", "b"]),
    ("^a{,2}$", ["aa", "aaa", "a{,2}"]),
    ("^a{,b}$", ["a{,b}", "a{0,b}", "a"]),
    (r"\/\-\.\ ", ["/-. ", "/"]),
    (r"(?i)straße", ["STRASSE", "Straße"]),
    (r"(?P<word>[a-z]{2,4})(?:,|$)", ["ab,", "abcde", "a,"]),
]


@pytest.mark.filterwarnings("ignore:Possible nested set")
@pytest.mark.parametrize(("pattern", "texts"), SAMPLES)
def test_a_pattern_means_what_it_means_in_python(pattern, texts):
    import re

    for text in texts:
        theirs, ours = re.search(pattern, text), compiled(pattern).search(text)
        assert (theirs is None) == (ours is None), (pattern, text)
        if theirs is not None:
            assert (theirs[0], theirs.start()) == (ours[0], ours.start()), (pattern, text)


@pytest.mark.parametrize(
    "pattern",
    ["a(?=b)", "(?<!a)b", r"(a)\1", "(?P<x>a)(?P=x)", "(?>a+)b", "a++", "a{1001}", "(?x)a b", "(a)?(?(1)b|c)"],
)
def test_a_pattern_that_could_spin_is_refused_with_what_it_may_not_have(pattern):
    with pytest.raises(PatternError, match=r"not a pattern whose time is bounded \(.+\): it may have no look-around"):
        compiled(pattern)


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a{2,1}", "(?P<1>a)", "\\"])
def test_what_is_no_pattern_is_called_that(pattern):
    with pytest.raises(PatternError, match="not a regular expression"):
        compiled(pattern)


def test_half_a_surrogate_pair_is_searched_as_an_unreadable_character():
    assert compiled("b(.)d").search("ab\ud800d")[1] == "\ufffd"
    with pytest.raises(PatternError, match="half of a surrogate pair"):
        compiled("\ud800")


@pytest.fixture
def task_file(tmp_path):
    def written(*, answer_pattern=None, schema=None):
        rule = "" if answer_pattern is None else f"\n[teacher]\nanswer_pattern = {json.dumps(answer_pattern)}\n"
        named = "" if schema is None else 'json_schema = "schema.json"\n'
        (tmp_path / "schema.json").write_text(json.dumps(schema))
        output = "text" if schema is None else "json"
        (tmp_path / "task.toml").write_text(
            f'[task]\nname = "t"\ninstruction = "Do."\noutput = "{output}"\n{named}[data]\ntrain = "a.jsonl"\ntest = "b.jsonl"\n{rule}'
        )
        return tmp_path / "task.toml"

    return written


def test_an_answer_pattern_is_checked_when_the_task_is_loaded(task_file):
    with pytest.raises(TaskFileError, match=r"task\.toml: \[teacher\] answer_pattern = '\(a\)\(\?=b\)': not a pattern"):
        load_task(task_file(answer_pattern="(a)(?=b)"))


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "a(?=b)"},
        {"properties": {"default": {"pattern": "a(?=b)"}}},
        {"patternProperties": {"a(?=b)": {}}},
        {"$defs": {"x": {"allOf": [{"items": {"pattern": "a(?=b)"}}]}}},
        {"propertyNames": {"pattern": "a(?=b)"}},
    ],
)
def test_a_schemas_patterns_are_checked_when_the_task_is_loaded(task_file, schema):
    with pytest.raises(TaskFileError, match=r"schema\.json: pattern 'a\(\?=b\)': not a pattern"):
        load_task(task_file(schema=schema))


@pytest.mark.parametrize("schema", [{"const": {"pattern": "a(?=b)"}}, {"enum": [{"pattern": "("}]}, {"pattern": "^a$"}])
def test_a_schemas_values_are_not_taken_for_patterns(task_file, schema):
    assert load_task(task_file(schema=schema)).schema == schema


def test_unevaluated_properties_beside_patterns_are_refused(task_file):
    """jsonschema would search these names with Python's engine."""
    schema = {"allOf": [{"patternProperties": {SPINS: {}}}], "unevaluatedProperties": False}
    with pytest.raises(TaskFileError, match=r"schema\.json: `unevaluatedProperties` and `patternProperties`"):
        load_task(task_file(schema=schema))


def test_a_schema_nested_too_deep_is_one_sentence(task_file):
    path = task_file(schema={})
    path.with_name("schema.json").write_text('{"not":' * 20_000 + "{}" + "}" * 20_000)
    with pytest.raises(TaskFileError, match=r"schema\.json: not a JSON schema"):
        load_task(path)


def test_letters_cannot_make_an_answer_pattern_spin():
    code = f"""
from stillhouse.llm.parsing import parse_reply
from stillhouse.records import Example
from stillhouse.task import Task
task = Task(name="t", instruction="x", output="text").with_teacher(answer_pattern="{SPINS}")
print(parse_reply(task, Example("1", "x"), "{LETTERS}", rationales=True).error)
"""
    assert in_a_child(code) == "no answer after the rationale"


@pytest.mark.parametrize(
    ("schema", "value", "n_problems"),
    [
        ({"pattern": SPINS}, LETTERS, 1),
        ({"patternProperties": {SPINS: False}}, {LETTERS: 1}, 0),
        ({"patternProperties": {SPINS: {}}, "additionalProperties": False}, {LETTERS: 1}, 1),
        ({"patternProperties": {SPINS: {}}, "additionalProperties": {"type": "string"}}, {LETTERS: 1}, 1),
        ({"propertyNames": {"pattern": SPINS}}, {LETTERS: 1}, 1),
    ],
)
def test_letters_cannot_make_a_schema_spin(schema, value, n_problems):
    code = f"""
from stillhouse.patterns import schema_validator
print(len(list(schema_validator()({schema!r}).iter_errors({value!r}))))
"""
    assert in_a_child(code) == str(n_problems)


def test_a_schema_says_what_it_said_before():
    import jsonschema

    schema = {
        "properties": {"a": {"pattern": "^x"}},
        "patternProperties": {"^p": {"type": "integer"}},
        "additionalProperties": {"type": "string"},
    }
    closed = {"properties": {"a": {}}, "additionalProperties": False}
    matched = {"patternProperties": {"^p": {}}, "additionalProperties": False}
    for each in (schema, closed, matched):
        for value in (
            {"a": "y", "p": "1", "q": 2},
            {"a": "x", "p": 1, "q": "z"},
            {"b": 1},
            {"b": 1, "c": 2},
            "text",
            3,
        ):
            both = (jsonschema.Draft202012Validator(each), schema_validator()(each))
            # Theirs come in the order of a set.
            theirs, ours = (sorted((e.message, *e.absolute_path) for e in one.iter_errors(value)) for one in both)
            assert ours == theirs


SPACES = '" " * 1_000_000'
HOSTILE = {
    "default answer pattern": f'parse(text, "So the answer is a" + {SPACES} + "b" + {SPACES} + "\\n.", rationales=True)',
    "answer pattern without the phrase": f'parse(text, "So the answer is" * 60_000 + {SPACES}, rationales=True)',
    "fence": f'parse(json_, "```" + {SPACES} + "{{")',
    "lettered choice": f'parse(choice, "(a)" * 1_000 + {SPACES} + "x")',
    "agent's action": f'read("Action:" + {SPACES} + "x" + {SPACES} + "y")',
    "agent's action without an input": 'read("Action: a\\nAction" + "a" * 1_000_000 + "\\nx")',
    "agent's action on many lines": 'read("Action: a\\n" * 100_000)',
    "agent's input of marks": 'read("Action: a\\nAction Input: " + "`" * 1_000_000 + "x" + "`*" * 100_000)',
    "agent's input of brackets": 'read("Action: a\\nAction Input: " + "[" * 1_000_000)',
    "agent's answers": 'read("Final Answer: x\\n" * 50_000)',
    "agent's fence": f'read("Action: a\\nAction Input: x" + {SPACES} + "y")',
    "pieces of a call": 'pieces.add([{"index": 0, "function": {"name": "f", "arguments": "}"}}] * 50_000)',
    "generated blocks": f'blocks("## 1" + {SPACES} + "x", 1, 2, cut_off=False)',
    "fields of a block": f'fields("Instruction" + {SPACES} + "x")',
    "proposed input": f'_json_object("```" + {SPACES} + "{{")',
    "verbs": 'read_pairs("1: " + "a|" * 500_000 + " x y", 1, cut_off=False)',
    "limit header": 'seconds("9" * 1_000_000)',
    "input's lines": '_lines("a: " + "\\nb: x" * 200_000, ("a", "b", "c", "d"))',
    "order of a query": 'ordered("\'" + "a\'\'" * 300_000)',
    "a page": f'html_text("<p>" + {SPACES} + "<script>" * 100_000)',
    "scores": '_NUMBER.fullmatch("9" * 1_000_000 + "x")',
}


def test_megabytes_of_hostile_text_are_read_in_bounded_work():
    """Half a minute of processor time for all of them, where one that backtracks over its megabyte takes hours."""
    code = """
from stillhouse.advice.scores_csv import _NUMBER
from stillhouse.evaluation.sql import ordered
from stillhouse.flow.agent import Text
from stillhouse.flow.tools.html_text import html_text
from stillhouse.llm.limit_headers import seconds
from stillhouse.llm.parsing import parse_reply
from stillhouse.llm.request import Completion
from stillhouse.llm.tool_calls import ToolCallPieces
from stillhouse.records import Example
from stillhouse.serving.inputs import _lines
from stillhouse.task import Task
from stillhouse.teacher.inputs import _json_object
from stillhouse.teacher.numbered import blocks, fields
from stillhouse.teacher.root_verbs import read_pairs
text = Task(name="t", instruction="x", output="text")
json_ = Task(name="t", instruction="x", output="json")
choice = Task(name="t", instruction="x", output="choice", labels=("yes", "no"))
parse = lambda task, reply, **how: parse_reply(task, Example("1", "x"), reply, **how)
pieces = ToolCallPieces()
read = lambda reply: Text().read(Completion(text=reply))
"""
    calls = "".join(f"{call}\nprint({name!r}, flush=True)\n" for name, call in HOSTILE.items())
    assert in_a_child(code + calls, cpu_s=40).splitlines() == list(HOSTILE)


def test_an_answer_after_a_phrase_is_found_as_before():
    task = Task(name="t", instruction="x", output="choice", labels=("yes", "no"))
    reply = parse_reply(task, Example("1", "x"), "  Because é.\nSo the answer is: yes", rationales=True)
    assert (reply.output, reply.rationale, reply.at, reply.how) == ("yes", "Because é.", 31, "strict")
    assert parse_reply(task, Example("1", "x"), "so THE answer is no.", rationales=True).how == "lenient"
