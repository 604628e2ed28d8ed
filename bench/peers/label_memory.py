"""`stillhouse label`, as a job, on a folder that holds a task and its rows; progress on stderr. Arguments: folder, port, rows, in flight."""

import asyncio
import sys
from pathlib import Path

from stillhouse.commands.label import label
from stillhouse.session import Session

folder, port, n, in_flight = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def tell(progress):
    if progress.done % max(1, n // 10) == 0:
        print(f"  {progress.done:,} of {n:,} rows", file=sys.stderr, flush=True)


settings = {"concurrency": in_flight, "price_in": 1.0, "price_out": 2.0}
report = asyncio.run(
    label(folder, Session(teacher=f"http://127.0.0.1:{port}/v1#m", settings=settings, on_progress=tell))
).report
assert report.labelled == n, report
