"""The teacher of the runs that version 0.1.0 made: a script in a model's place."""

import json
import os
import re
from pathlib import Path


def answer(request, example):
    if counted := os.environ.get("V010_COUNTED"):
        with Path(counted).open("a") as lines:
            lines.write(json.dumps(["answer", request.messages[-1]["content"]]) + "\n")
    text = request.messages[-1]["content"]
    day = re.search(r"day (\d+)", text)
    wrong = day is not None and int(day[1]) % 29 == 0
    return "good" if ("good" in text) != wrong else "bad"


answer.priced_as = "openai:gpt-4o-mini"
answer.stand_in = True
