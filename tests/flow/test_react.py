"""The text protocol as models write it, each reply with the one right reading; the table was written before the reader."""

import pytest

from stillhouse.flow.react import read_turn

A = '{"a": 1}'
ADD = ("add", A, None)


def answer(text):
    return (None, "", text)


NOTHING = (None, "", None)
NOW = ("now", "", None)
TURNS = {
    "as asked for": (f"Thought: add\nAction: add\nAction Input: {A}", ADD),
    "crlf": (f"Thought: add\r\nAction: add\r\nAction Input: {A}\r\n", ADD),
    "cr": (f"Thought: add\rAction: add\rAction Input: {A}", ADD),
    "what nobody sees": (f"\ufeffAction: add\u200b\nAction Input:\xa0{A}", ADD),
    "no-break spaces": (f"Action:\xa0add\xa0\nAction\xa0Input: {A}", ADD),
    "U+2028": (f"Thought: x\u2028Action: add\u2028Action Input: {A}\u2028Observation: 3", ADD),
    "blank lines": (f"Action: add\n\n\nAction Input:\n\n{A}\n", ADD),
    "bold": (f"**Thought:** x\n**Action:** add\n**Action Input:** {A}", ADD),
    "bold, colon outside": (f"**Action**: add\n**Action Input**: {A}", ADD),
    "bold lines": (f"**Action: add**\n**Action Input: {A}**", ADD),
    "bold values": (f"Action: **add**\nAction Input: **{A}**", ADD),
    "bold without space": (f"**Action:**add\n**Action Input:**{A}", ADD),
    "underscores": (f"__Action:__ add\n__Action Input:__ {A}", ADD),
    "italics": (f"*Action:* add\n*Action Input:* {A}", ADD),
    "a name with underscores": (f"Action: _add_up_\nAction Input: {A}", ("_add_up_", A, None)),
    "headings": (f"### Action: add\n### Action Input: {A}", ADD),
    "list": (f"- Action: add\n- Action Input: {A}", ADD),
    "quote": (f"> Action: add\n> Action Input: {A}", ADD),
    "indented": (f"  Thought: x\n    Action: add\n\tAction Input: {A}", ADD),
    "lower case": (f"thought: x\naction: add\naction input: {A}", ADD),
    "upper case": (f"THOUGHT: x\nACTION: add\nACTION INPUT: {A}", ADD),
    "underscored": (f"action: add\naction_input: {A}", ADD),
    "in one word": (f"Action: add\nActionInput: {A}", ADD),
    "numbered": (f"Thought 1: x\nAction 1: add\nAction Input 1: {A}", ADD),
    "space before the colon": (f"Action : add\nAction Input : {A}", ADD),
    "wide colon": (f"Action\uff1a add\nAction Input\uff1a{A}", ADD),
    "backticks": (f"Action: `add`\nAction Input: `{A}`", ADD),
    "backticks around labels": (f"`Action:` add\n`Action Input:` {A}", ADD),
    "quotes": (f'Action: "add"\nAction Input: {A}', ADD),
    "name on its own line": (f"Action:\nadd\nAction Input:\n{A}", ADD),
    "name in a fence": (f"Action:\n```\nadd\n```\nAction Input:\n```json\n{A}\n```", ADD),
    "fence": (f"Action: add\nAction Input: ```json\n{A}\n```", ADD),
    "fence on the next line": (f"Action: add\nAction Input:\n```json\n{A}\n```\nI wait.", ADD),
    "fence of tildes": (f"Action: add\nAction Input:\n~~~JSON\n{A}\n~~~", ADD),
    "fence without space": (f"Action: add\nAction Input:```json\n{A}\n```", ADD),
    "fence in one line": (f"Action: add\nAction Input: ```{A}```", ADD),
    "fence around the turn": (f"```\nThought: x\nAction: add\nAction Input: {A}\n```", ADD),
    "both on one line": (f"Action: add Action Input: {A}", ADD),
    "both on one line, comma": (f"Action: add, Action Input: {A}", ADD),
    "trailing text": (f"Action: add\nAction Input: {A}\nI will wait for the result.", ADD),
    "trailing text on the line": (f"Action: add\nAction Input: {A} (waiting)", ADD),
    "several lines": ('Action: add\nAction Input: {\n  "a": 1,\n  "b": [\n    2\n  ]\n}', ("add", '{\n  "a": 1,\n  "b": [\n    2\n  ]\n}', None)),
    "a text over several lines": ('Action: say\nAction Input: {"t": "one\ntwo"}', ("say", '{"t": "one\\ntwo"}', None)),
    "no arguments": ("Action: now\nAction Input:", ("now", "", None)),
    "no arguments, then a thought": ("Action: now\nAction Input:\nObservation: noon", ("now", "", None)),
    "not JSON": ("Action: add\nAction Input: a = 1\nObservation: 3", ("add", "a = 1", None)),
    "cut JSON": ('Action: add\nAction Input: {"a": 1', ("add", '{"a": 1', None)),
    "second action": (f'Action: add\nAction Input: {A}\nAction: sub\nAction Input: {{"c": 3}}', ADD),
    "invented observation": (f"Action: add\nAction Input: {A}\nObservation: 7\nThought: done\nFinal Answer: 7", ADD),
    "invented observation, bold, lower case": (f"Action: add\nAction Input: {A}\n**observation:** 7\nFinal answer: 7", ADD),
    "observation first": (f"Thought: x\nObservation: 7\nFinal Answer: 7\nAction: add\nAction Input: {A}", NOTHING),
    "observation within an argument": ('Action: say\nAction Input: {"t": "Observation: it rains"}', ("say", '{"t": "Observation: it rains"}', None)),
    "observation on a line of an argument": ('Action: say\nAction Input: {"t": "a\nObservation: b\nAction: c\nFinal Answer: d"}', ("say", '{"t": "a\\nObservation: b\\nAction: c\\nFinal Answer: d"}', None)),
    "observation escaped": ('Action: say\nAction Input: {"t": "a\\nObservation: b"}', ("say", '{"t": "a\\nObservation: b"}', None)),
    "action before final": (f"Action: add\nAction Input: {A}\nFinal Answer: 3", ADD),
    "final before action": (f"Final Answer: 3\nAction: add\nAction Input: {A}", answer("3")),
    "final before action, one line": (f"Final Answer: 3\nAction: add Action Input: {A}", answer("3")),
    "final before thought and action": (f"Final Answer: 3\nThought: more\nAction: add\nAction Input: {A}", answer("3")),
    "final before action alone": ("Final Answer: 3\nAction: now", answer("3")),
    "final before final": ("Final Answer: 3\nFinal Answer: 4", answer("3")),
    "final before final, bold": ("Final Answer: 3\n\n**Final Answer**\n4", answer("3")),
    "final that says action": ("Final Answer: Problem: hot\nAction: switch it off", answer("Problem: hot\nAction: switch it off")),
    "final under its heading": ("### Final Answer\nFinal Answer: 42", answer("42")),
    "final, bold, no colon": ("**Final Answer**\n5", answer("5")),
    "final, bold, no colon, blank line": ("Thought: x\n\n**Final Answer**\n\n5\n6", answer("5\n6")),
    "final, heading, no colon": ("### Final Answer\n5", answer("5")),
    "final, no colon": ("Final Answer\n5", answer("5")),
    "final answer at a line's end": (f"Thought: I lack the\nfinal answer\nAction: add\nAction Input: {A}", ADD),
    "final, two blanks": ("Final  Answer: 5", answer("5")),
    "final with a number and no colon": ("Final Answer 5\nx", NOTHING),
    "final behind a thought": ("Thought: done. Final Answer: 5", answer("5")),
    "final behind a thought, bold": ("Thought: done! **Final Answer:** 5", answer("5")),
    "final behind a sentence": ("It is done; final answer: 5", answer("5")),
    "final behind a thought, cjk": ("Thought: \u597d\u3002Final Answer\uff1a5", answer("5")),
    "final, numbered": ("1. Thought: x\n2. Final Answer: 5", answer("5")),
    "action behind a thought": (f"Thought: add them. Action: add\nAction Input: {A}", ADD),
    "action behind a thought, one line": (f"Thought: add them. Action: add Action Input: {A}", ADD),
    "numbered list": (f"1. Action: add\n2. Action Input: {A}", ADD),
    "numbered list, bold": (f"1) **Action:** add\n2) **Action Input:** {A}", ADD),
    "headings without colons": (f"### Action\nadd\n### Action Input\n{A}", ADD),
    "bold without colons": (f"**Thought**\nx\n**Action**\nadd\n**Action Input**\n{A}", ADD),
    "two blanks": (f"Action: add\nAction  Input: {A}", ADD),
    "name in brackets": (f"Action: [add]\nAction Input: {A}", ADD),
    "name and a full stop": (f"Action: add.\nAction Input: {A}", ADD),
    "name in angles": (f"Action: <add>\nAction Input: {A}", ADD),
    "name as a call": (f"Action: `add()`\nAction Input: {A}", ADD),
    "alone": ("Thought: x\nAction: now", NOW),
    "alone, in brackets": ("Action: [now].", NOW),
    "alone, invented observation": ("Action: now\nObservation: noon\nFinal Answer: noon", NOW),
    "alone, then an answer": ("Action: now\nFinal Answer: noon", NOW),
    "alone, then a second": (f"Action: now\nAction: add\nAction Input: {A}", NOW),
    "alone, with words": ("Action: now we wait", NOTHING),
    "final": ("Thought: sure\nFinal Answer: 42", answer("42")),
    "final, other case": ("Final answer: 42", answer("42")),
    "final, lower": ("final answer: 42", answer("42")),
    "final, upper": ("FINAL ANSWER: 42", answer("42")),
    "final, underscored": ("final_answer: 42", answer("42")),
    "final, bold": ("**Final Answer:** 42", answer("42")),
    "final, bold line": ("**Final Answer: 42**", answer("42")),
    "final, bold, colon outside": ("**Final Answer**: 42", answer("42")),
    "final, bold value": ("Final Answer: **42**", answer("**42**")),
    "final, indented": ("  Final Answer: 42", answer("42")),
    "final, heading": ("## Final Answer: 42", answer("42")),
    "final, crlf": ("Thought: x\r\nFinal Answer: 4\r\n2\r\n", answer("4\n2")),
    "final over several lines": ("Final Answer: 4\n\n2", answer("4\n\n2")),
    "final on the next line": ("Final Answer:\n42", answer("42")),
    "final in a fence around all": ("```\nThought: x\nFinal Answer: 42\n```", answer("42")),
    "final with its own fence": ("Final Answer:\n```py\n42\n```", answer("```py\n42\n```")),
    "final with an invented observation": ("Final Answer: 42\nObservation: right", answer("42")),
    "final empty": ("Final Answer:", NOTHING),
    "no form": ("I think it is 42.", NOTHING),
    "no input": ("Action: add", NOTHING),
    "no action": (f"Action Input: {A}", NOTHING),
    "no name": (f"Action:\nAction Input: {A}", NOTHING),
    "within a line": ("I thought about the Action: add and Action Input: {}", NOTHING),
    "a word that begins alike": ("Actions: none\nActionable: yes", NOTHING),
    "empty": ("", NOTHING),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "right"), TURNS.values(), ids=TURNS)
def test_a_turn_is_read(reply, right):
    turn = read_turn(reply, {"now"})
    assert (turn.tool, turn.arguments, turn.answer) == right


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        (f"Thought: x\nAction: add\nAction Input: {A}", f"Thought: x\nAction: add\nAction Input: {A}"),
        (f"Action: add\nAction Input: {A}\nObservation: 7\nFinal Answer: 7", f"Action: add\nAction Input: {A}"),
        (f"Action: add\nAction Input: {A}\nAction: b\nAction Input: {{}}", f"Action: add\nAction Input: {A}"),
        (f"Action: add\nAction Input:\n```\n{A}\n```\nso", f"Action: add\nAction Input:\n```\n{A}\n```"),
        ("Thought: x\nObservation: y\nz", "Thought: x"),
        ("Final Answer: 7\nObservation: y", "Final Answer: 7"),
        ("Final Answer: 7\nThought: y\nFinal Answer: 8", "Final Answer: 7"),
        ("Action: now\nObservation: y", "Action: now"),
    ],
)
def test_what_was_invented_is_not_shown_to_the_model_again(reply, kept):
    assert read_turn(reply, {"now"}).text == kept
