"""What the programs of `flow_peers` do outside, and how long that takes: `python X_programs.py PROGRAM FOLDER SITTING`.

Each effect is a line of a file, flushed to disk. In the second sitting the branches' times are turned round, and what was down or slow in the first is well.
"""

import asyncio
import os
import sys
from pathlib import Path

PROGRAM, FOLDER, FIRST = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "1"
DONE = FOLDER / "done.txt"


def did(what: str) -> None:
    with DONE.open("a") as log:
        log.write(f"{what}\n")
        log.flush()
        os.fsync(log.fileno())


async def fetched(item: str) -> str:
    """Equal for all items, and which comes first differs from sitting to sitting."""
    await asyncio.sleep(2 if (item == "a") == FIRST else 0.2)
    return "same"


def ticket_for(text: str) -> int:
    lines = DONE.read_text().splitlines() if DONE.exists() else []
    number = 1 + sum(line.startswith("ticket") for line in lines)
    did(f"ticket {number}")
    return number


def paid(number: int, item: str) -> str:
    did(f"pay {item} on ticket {number}")
    return f"{item} on ticket {number}"


def charged_primary() -> str:
    if FIRST:
        did("primary refuses")
        raise ConnectionError("the primary is down")
    did("charge primary")
    return "primary"


def charged_backup() -> str:
    did("charge backup")
    return "backup"


async def flown() -> str:
    did("ask for the plane")
    await asyncio.sleep(5 if FIRST else 0)
    did("sent by plane")
    return "plane"


def railed() -> str:
    did("sent by train")
    return "train"


def sent(item: str) -> str:
    did(f"send {item}")
    return item


async def held() -> str:
    """The first sitting is killed here, a moment after all before is written."""
    if FIRST:
        await asyncio.sleep(0.5)
        did("held")
        await asyncio.sleep(60)
    return "over"
