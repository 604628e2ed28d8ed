"""`make bench`, or `python -m bench NAME...`: benchmarks, each a ratio against a peer in the same run; results are written to bench/results/."""

import importlib
import json
import sys
import time
from pathlib import Path

NAMES = (
    "label",
    "label_memory",
    "unknown_limits",
    "filters",
    "flow",
    "crash",
    "flow_programs",
    "flow_peers",
    "stopping",
    "verdict",
    "gate_size",
    "gate_groups",
    "cascade",
    "load",
    "gateway",
    "linear",
)

for name in sys.argv[1:] or NAMES:
    if name not in NAMES:
        sys.exit(f"no such benchmark: {name}; give some of {', '.join(NAMES)}")
    bench = importlib.import_module(f"bench.{name}")
    found = bench.main() | {"date": time.strftime("%Y-%m-%d")}
    name, section = getattr(bench, "SECTION", (name, None))
    path = Path(__file__).parent / "results" / f"{name}.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    # A bench with a SECTION writes that section of another bench's file and keeps the rest. A bench keeps the sections
    # that it names in KEPT, for others write them.
    found = (
        before | {section: found}
        if section
        else found | {kept: before[kept] for kept in getattr(bench, "KEPT", ()) if kept in before}
    )
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
