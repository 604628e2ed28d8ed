"""Thinking in a reply's text is set apart and is never part of a label. The table was written before the code."""

import pytest

from stillhouse.llm.thinking import part

CASES = [  # (reply, answer, thinking)
    ("good", "good", None),
    ("<think>hm</think>good", "good", "hm"),
    ("<think>\nhm\n</think>\n\ngood", "good", "hm"),
    ("  <think>hm</think> good", "good", "hm"),
    ("<THINK>hm</THINK>\ngood", "good", "hm"),
    ("<Think>hm</tHink>good", "good", "hm"),
    ("< think >hm< /think >good", "good", "hm"),
    ("<thinking>hm</thinking>good", "good", "hm"),
    ("<reasoning>hm</reasoning>good", "good", "hm"),
    ("<think></think>good", "good", None),
    ("<think>\n\n</think>\n\ngood", "good", None),
    ("<think>a</think><think>b</think>good", "good", "a\n\nb"),
    ("<think>a</think>good<think>b</think>", "good", "a\n\nb"),
    ("<think>a <think>b</think> c</think>good", "good", "a <think>b\n\nc"),
    ("hm, it is</think>\ngood", "good", "hm, it is"),
    ("<think>a</think>b</think>good", "good", "a\n\nb"),
    ("one<think>a</think>two", "one\ntwo", "a"),
    ("<think>hm, it is good", None, "hm, it is good"),
    ("<think>", None, None),
    ("<think>a</think>good<think>but", None, "a\n\nbut"),
    ("good <think>or bad", None, "or bad"),
    ("<think>hm</think>", "", "hm"),
    ("<think>hm</think>\n  ", "", "hm"),
    ("The tag `<think>` opens it.", "The tag `<think>` opens it.", None),
    ('Write "<think>" first.', 'Write "<think>" first.', None),
    ('{"note": "a <think> tag"}', '{"note": "a <think> tag"}', None),
    ('<think>{"a": 1}</think>{"a": 2}', '{"a": 2}', '{"a": 1}'),
    ("a <b>bold</b> thought, 1 < 2", "a <b>bold</b> thought, 1 < 2", None),
    ('<think>hm</think>"good"', '"good"', "hm"),
    ('<think duration="3">hm</think>good', "good", "hm"),
    ("[THINK]hm[/THINK]good", "good", "hm"),
    ("[Think] good", "[Think] good", None),
    ('<think>hm</think>{"a":"<think>b</think>c"}', '{"a":"<think>b</think>c"}', "hm"),
    ('```json\n{"a":"<think>x</think>b"}\n```', '```json\n{"a":"<think>x</think>b"}\n```', None),
    ('Hm. So the answer is {"a":"<think>b</think>c"}.', 'Hm. So the answer is {"a":"<think>b</think>c"}.', None),
    ('<think>a {"b": 1</think>{"a": ["</think>"]}', '{"a": ["</think>"]}', 'a {"b": 1'),
    ('{"a": "hm</think>', "", '{"a": "hm'),
    ("In HTML, </think> closes.", "In HTML, </think> closes.", None),
    ("It closes with the </think> tag.", "It closes with the </think> tag.", None),
    ("hm, it is </think> good", "good", "hm, it is"),
    ("<thinker>good</thinker>", "<thinker>good</thinker>", None),
    # tags of other models
    ("<mm:think>hm</mm:think>good", "good", "hm"),
    ("<seed:think>hm</seed:think>\ngood", "good", "hm"),
    ("<longcat_think>hm</longcat_think>good", "good", "hm"),
    ("<antThinking>hm</antThinking>good", "good", "hm"),
    ("◁think▷hm◁/think▷good", "good", "hm"),
    ("◁think▷hm", None, "hm"),
    ("hm◁/think▷good", "good", "hm"),
    ("<|thinking|>hm<|/thinking|>good", "good", "hm"),
    ("<|begin_of_thought|>hm<|end_of_thought|>\n<|begin_of_solution|>good<|end_of_solution|>", "good", "hm"),
    ("<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>good<|END_RESPONSE|>", "good", "hm"),
    ("\u200b<think>hm</think>good", "good", "hm"),
    ("a < b and b > c: good", "a < b and b > c: good", None),
    # channels, of which `final` is the answer
    (
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>good<|return|>",
        "good",
        "hm",
    ),
    ("<|start|>assistant<|channel|>analysis<|message|>hm<|end|>good", "good", "hm"),
    ("<|channel|>analysis<|message|>hm", None, "hm"),
    ("<|channel|>analysis<|message|>hm<|end|>", None, "hm"),
    ("<|channel|>final<|message|>good", "good", None),
    ('<|channel|>final <|constrain|>json<|message|>{"a": 1}', '{"a": 1}', None),
    ("<|channel>thought\nhm<channel|>good", "good", "hm"),
    (
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>"
        "<|start|>assistant<|channel|>final<|message|>good",
        "good",
        "{}",
    ),
    ("Say <|channel|>final<|message|> first.", "Say <|channel|>final<|message|> first.", None),
]


@pytest.mark.parametrize(("reply", "answer", "thinking"), CASES)
def test_the_parts_of_a_reply(reply, answer, thinking):
    parted = part(reply)
    assert (parted.answer, parted.thinking) == (answer, thinking)
    if answer and parted.at is not None:
        assert reply[parted.at :].startswith(answer)
    if answer is not None:
        assert part(answer).answer == answer  # done twice, it is as done once


def test_a_million_blanks_in_a_tag_are_no_work():
    assert part("<" + " " * 1_000_000 + "think" + "<think" * 100_000).thinking is None
