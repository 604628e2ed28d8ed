"""The flow whose runs are in journal.sql: one is done, one waits for a person, one was killed in its last step."""

import json
import os
import time
from pathlib import Path
from typing import Literal

from stillhouse import flow, step
from stillhouse.flow import ask_human


def begun(name: str, text: str) -> None:
    """Noted in the file that the environment names, so that a test sees what runs again."""
    if counted := os.environ.get("V010_COUNTED"):
        with Path(counted).open("a") as lines:
            lines.write(json.dumps([name, text]) + "\n")
    if os.environ.get("V010_HANGS") == name:
        time.sleep(600)


@step
async def clean(text: str) -> str:
    begun("clean", text)
    return text.strip().lower()


@step
async def shout(text: str) -> str:
    begun("shout", text)
    return text.upper() + "!" * 5000  # long enough to be stored apart


@step(model="scripted:teacher:answer")
async def mood(text: str) -> Literal["good", "bad"]:
    """Is it a good day?"""


@flow
async def main(texts: list[str], ask: bool = False) -> str:
    cleaned = [await clean(text) for text in texts]
    cleaned.append(await mood(cleaned[0]))
    if ask:
        return await ask_human(f"Send {cleaned[0]}?", ["yes", "no"])
    return (await shout(" ".join(cleaned)))[:20]
