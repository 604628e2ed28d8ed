"""`make bench`: every benchmark, each a ratio against a peer in the same run; results are written to bench/results/."""

import json
import time
from pathlib import Path

from bench import calls, cascade, crash, flow

for name, benchmark in {"calls": calls.main, "flow": flow.main, "crash": crash.main, "cascade": cascade.main}.items():
    found = benchmark() | {"date": time.strftime("%Y-%m-%d")}
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
