"""Earlier runs of a flow, read from its journal when a cassette's test first needs them."""

import json
from collections.abc import Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

from stillhouse.flow.testing import UNKNOWN
from stillhouse.store.journal import StepRow, open_journal


class RecordedRuns:
    """The runs of the flow `flow` in a journal; an absent journal holds none.

    Where several runs answered the same call, the newest one's answer counts.
    """

    def __init__(self, flow: str, store: Path | str) -> None:
        self.flow, self.store = flow, store

    @cached_property
    def _read(self) -> tuple[dict[tuple[str, str], Any], dict[str, list[StepRow]]]:
        answers: dict[tuple[str, str], Any] = {}
        values: dict[str, list[StepRow]] = {}
        if "://" not in str(self.store) and not Path(self.store).is_file():
            return answers, values
        with closing(open_journal(self.store)) as journal:
            for run, _ in reversed(journal.runs()):
                if run.flow != self.flow:
                    continue
                calls = [call for call in journal.steps(run.run) if call.kind != "flow"]
                answers |= {
                    (call.key[0], call.arguments): json.loads(call.output) for call in calls if call.output is not None
                }
                values[run.input] = [call for call in calls if call.kind == "value"]
        return answers, values

    def answer(self, step: str, arguments: str) -> Any:
        return self._read[0].get((step, arguments), UNKNOWN)

    def values(self, flow_input: str) -> Sequence[StepRow]:
        return self._read[1].get(flow_input, ())
