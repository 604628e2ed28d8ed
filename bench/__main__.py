"""`make bench`, or `python -m bench NAME...`: benchmarks, each a ratio against a peer in the same run; results are written to bench/results/.

`label.memory` (a quarter of an hour) is a part of `label` that is run by itself; each leaves the other's figures in the file as they are.
"""

import importlib
import json
import sys
import time
from pathlib import Path

NAMES = ("label", "label.memory", "filters", "flow", "crash", "verdict", "gate_size", "cascade")

for name in sys.argv[1:] or NAMES:
    if name not in NAMES:
        sys.exit(f"no such benchmark: {name}; give some of {', '.join(NAMES)}")
    whole, _, part = name.partition(".")
    path = Path(__file__).parent / "results" / f"{whole}.json"
    module = importlib.import_module(f"bench.{name.replace('.', '_')}")
    measured = getattr(module, part)() if part else module.main() | {"date": time.strftime("%Y-%m-%d")}
    before = json.loads(path.read_text()) if path.exists() else {}  # read when it was measured: another part may have been written meanwhile
    apart = {one.partition(".")[2] for one in NAMES if one.startswith(f"{whole}.")}
    found = before | {part: measured} if part else measured | {one: before[one] for one in apart if one in before}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(measured, indent=2))
