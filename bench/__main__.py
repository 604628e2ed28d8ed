"""`make bench`, or `python -m bench NAME...`: benchmarks, each a ratio against a peer in the same run; results are written to bench/results/."""

import importlib
import json
import sys
import time
from pathlib import Path

NAMES = ("label", "filters", "flow", "crash", "verdict", "gate_size", "cascade")

for name in sys.argv[1:] or NAMES:
    if name not in NAMES:
        sys.exit(f"no such benchmark: {name}; give some of {', '.join(NAMES)}")
    found = importlib.import_module(f"bench.{name}").main() | {"date": time.strftime("%Y-%m-%d")}
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
