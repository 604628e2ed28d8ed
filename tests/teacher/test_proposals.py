"""What a teacher's reply with proposals holds, in the forms in which models write it: one table of cases."""

import json

import pytest

from stillhouse.llm.thinking import part
from stillhouse.teacher.proposals import exercise_of, proposals
from stillhouse.teacher.rules import refusal

NUMBERS = (4, 5, 6)
LINES = "Instruction: Name {0} rivers.\nInput: <none>\nOutput: Rhine {0}"


def written(head="## {0}", form=LINES, sep="\n\n", numbers=NUMBERS):
    parts = [f"{head}\n{form}".format(number) for number in NUMBERS]
    if numbers != NUMBERS:
        parts = [f"{head.format(at)}\n{form.format(n)}" for at, n in zip(numbers, NUMBERS, strict=True)]
    return sep.join(parts)


def in_fields(first, second, third):
    return written(form=f"{first}{{0}} rivers.\n{second}\n{third}Rhine {{0}}".replace("{0} rivers", "Name {0} rivers"))


OBJECTS = [{"instruction": f"Name {n} rivers.", "input": "", "output": f"Rhine {n}"} for n in NUMBERS]
DRAFT = written(form=LINES.replace("Rhine", "draft"))
FORMS = {
    **{f"head {head}": written(head) for head in (
        "### {0}", "{0}.", "**## {0}**", "## {0}. Title", "## {0}: Title", "## Exercise {0}", "### Exercise {0} - Title",
        "**Exercise {0}**", "Exercise {0}:", "#{0}", "({0})", "{0}\n---", '<exercise id="{0}">',
    )},
    "in one line": "\n".join(f"{n}. {LINES.format(n)}" for n in NUMBERS),
    "no head": written().replace("## ", "").replace("4\n", "", 1).replace("\n5\n", "\n").replace("\n6\n", "\n"),
    "CRLF": written().replace("\n", "\r\n"),
    "CR": written().replace("\n", "\r"),
    "bold": in_fields("**Instruction:** ", "**Input:** <none>", "**Output:** "),
    "bold, the colon outside": in_fields("**Instruction**: ", "**Input**: <none>", "**Output**: "),
    "bold without a colon": in_fields("**Instruction**\n", "**Input**\n<none>", "**Output**\n"),
    "headings": in_fields("### Instruction\n", "### Input\nN/A", "### Output\n"),
    "lower case": in_fields("instruction: ", "input: none", "output: "),
    "upper case": in_fields("INSTRUCTION: ", "INPUT: -", "OUTPUT: "),
    "a list": in_fields("- Instruction: ", "- Input: (none)", "- Output: "),
    "no input line": written(form="Instruction: Name {0} rivers.\nOutput: Rhine {0}"),
    "no input line in one": written().replace("Input: <none>\n", "", 1),
    "the title is the instruction": written("## {0}. Name {0} rivers.", "Input: <noinput>\nOutput: Rhine {0}"),
    "numbers begin at 1": written(numbers=(1, 2, 3)),
    "numbers begin at 1, as a list": written("{0}.", numbers=(1, 2, 3)),
    "numbers begin at 1, with a word": written("### Task {0}", numbers=(1, 2, 3)),
    "numbers begin at 0": written(numbers=(0, 1, 2)),
    "one number for all": written(numbers=(4, 4, 4)),
    "another word": written("## Problem {0}"),
    "a word of another language": written("### Aufgabe {0}: Flüsse"),
    "slanted": in_fields("*Instruction:* ", "*Input:* *none required*", "*Output:* "),
    "bold and slanted": in_fields("***Instruction:*** ", "***Input:*** No input needed.", "***Output:*** "),
    "as code": in_fields("`Instruction:` ", "`Input:` <none>", "`Output:` "),
    "dashes for colons": in_fields("Instruction - ", "Input - <none>", "Output - "),
    "words in the next line": written() + "\nLet me know if you need more.",
    "rules between": written(sep="\n\n---\n\n"),
    "rules below all": written(sep="\n\n***\n\n") + "\n\n***\n",
    "rules with blanks": written(sep="\n\n- - -\n\n"),
    "a rule below one": written().replace("Rhine 4", "Rhine 4\n\n---"),
    "a fence around all": f"```markdown\n{written()}\n```",
    "a fence around all, and words": f"Here they are:\n\n```\n{written()}\n```\n\nI hope these help!",
    "a fence around each": written(form=f"```\n{LINES}\n```"),
    "a fence around each, and words": written(form=f"```text\n{LINES}\n```") + "\n\nLet me know if you need more.",
    "a fence around each with its head": "\n\n".join(f"```\n## {n}\n{LINES.format(n)}\n```" for n in NUMBERS),
    "words below": written() + "\n\nLet me know if you would like more exercises!",
    "other words below": written() + "\n\nThese exercises cover a wide range of topics.\nFeel free to use them.",
    "words below a rule": written(sep="\n\n---\n\n") + "\n\n---\n\nMore are to be had.",
    "a draft in thinking": f"<think>\n{DRAFT}\n</think>\n\n{written()}",
    "a draft in a thinking that was begun before": f"{DRAFT}\n</think>\n{written()}",
    "a draft in another tag": f"<reasoning>{DRAFT}</reasoning>\n{written()}",
    "JSON": json.dumps(OBJECTS),
    "JSON in an object": json.dumps({"exercises": OBJECTS}, indent=1),
    "JSON in a fence": f"Sure:\n\n```json\n{json.dumps(OBJECTS, indent=2)}\n```\nLet me know!",
    "JSON by line": "\n".join(map(json.dumps, OBJECTS)),
    "JSON with null and other names": json.dumps([{"Instruction": row["instruction"], "Input": None, "Output": row["output"]} for row in OBJECTS]),
    "JSON below heads": "\n".join(f"## {n}\n{json.dumps(row)}" for n, row in zip(NUMBERS, OBJECTS, strict=True)),
}  # fmt: skip


def read(reply, *, cut_off=False, first=4, last=6):
    found = proposals(part(reply).answer, first, last, cut_off=cut_off, exercises=True)
    return [(block.problem, None if block.problem else exercise_of(block.text)) for block in found]


def test_exercises_are_read_in_every_form():
    for name, reply in FORMS.items():
        assert read(reply) == [(None, row) for row in OBJECTS], name


INNER = {
    "a heading with the next number": "A list:\n## 5\nis a heading",
    "headings from 1 on": "Steps:\n## 1\nwash\n## 2\ndry",
    "a numbered list": "Steps:\n4. wash\n5. dry\n6. go",
    "an exercise in code": "As in:\n```\n## 5\nInstruction: x\n```\nand so on",
    "code": "```python\nprint(5)\n```",
    "a letter": "Dear Ann,\nwe met.\n\nLet me know if you need more.",
    "a field's name": "The form has\nInput: a\nand more",
}


def test_what_stands_in_an_output_stays_there():
    for name, inner in INNER.items():
        for number in NUMBERS:
            found = read(written().replace(f"Rhine {number}", inner))
            outputs = [inner if n == number else f"Rhine {n}" for n in NUMBERS]
            assert [exercise and exercise["output"] for _, exercise in found] == outputs, (name, number)


def test_numbers_that_begin_anew_within_a_reply_count_on():
    twice = written() + "\n\n" + written(form=LINES.replace("Name", "List"), numbers=(1, 2, 3))
    assert [problem for problem, _ in read(twice, last=9)] == [None] * 6
    shown_again = written(numbers=(1, 2, 3)) + "\n\n" + written()
    assert [problem for problem, _ in read(shown_again)] == ["number not asked for"] * 3 + [None] * 3
    assert [problem for problem, _ in read(written() + "\n\n## 99\n" + LINES)] == [None] * 3 + ["number not asked for"]


def test_what_was_cut_off_is_dropped_in_every_form():
    whole = json.dumps({"exercises": OBJECTS})
    for reply in (written(), "\n\n".join(LINES.format(n) for n in NUMBERS), whole[:-9], whole[: len(whole) // 2 + 20]):
        found = read(reply, cut_off=True)
        assert found[-1][0] == "cut off" and {problem for problem, _ in found[:-1]} <= {None}, reply


@pytest.mark.parametrize("belongs", [False, True])
def test_inputs_lose_a_fence_that_no_real_input_has(belongs):
    reply = "## 4\n```\nday 4\n```\n\n## 5\nday 5\n\nI hope these inputs help."
    texts = [block.text for block in proposals(reply, 4, 5, cut_off=False, exercises=False, fences_belong=belongs)]
    assert texts == ["```\nday 4\n```" if belongs else "day 4", "day 5"]
    listed = proposals('{"inputs": ["day 4", "day 5"]}', 4, 5, cut_off=False, exercises=False)
    assert [block.text for block in listed] == ["day 4", "day 5"]


REFUSALS = (
    "I'm sorry, but I can't help with that.", "I cannot provide medical advice.", "As an AI language model, I have no feelings.",
    "I am unable to access real-time data.", "Unfortunately, I can\u2019t browse the internet.", "I apologize, but I am not able to generate this.",
    "Sorry, I can't assist with that request.", "I don't have access to the article.",
)  # fmt: skip
NO_REFUSALS = (
    "I'm sorry for the late reply.", "I'm sorry, but I can't come to your party.", "I cannot wait to see the sea!", "I can't help but write to you.",
    "As an AI engineer, you build systems.", "The Rhine.", "Sorry seems to be the hardest word.", "I will be there at five.",
)  # fmt: skip


def test_a_refusal_is_told_from_an_output_that_declines_something():
    assert [text for text in REFUSALS if not refusal(text)] == []
    assert [text for text in NO_REFUSALS if refusal(text)] == []
