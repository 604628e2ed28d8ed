"""A file of what people said of a step's answers, as values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.data.dataset import json_rows
from stillhouse.data.harvest import Feedback
from stillhouse.errors import DatasetError
from stillhouse.json_labels import LabelError, canonical_text, json_label


def read_feedback(
    path: Path, step: str, labels: Sequence[str] | None, *, schema: Mapping[str, Any] | None = None
) -> list[Feedback]:
    """Rows of `run`, perhaps `step` (its name, or a call's key), and `ok` or `label`. Rows on other steps are left out.

    Raises DatasetError with file and line for a row of another form, and for a label that is none of `labels`, or no
    value that fits `schema`, the schema of a step that answers with JSON.
    """
    words = []
    for line, row in json_rows(path):
        run, ok, label, about = row.get("run"), row.get("ok"), row.get("label"), row.get("step")
        silent = (ok is None and label is None) or not isinstance(ok, bool | None)
        if silent or not isinstance(run, str) or not isinstance(about, str | None):
            raise DatasetError(
                f"{path}:{line}: feedback needs `run`, `ok` (true or false) or `label`, and perhaps `step`; "
                "mend the row"
            )
        if about is not None and about != step and not about.startswith(f"{step}/"):
            continue
        try:
            if label is not None and schema is not None:
                label = json_label(label, schema)
            elif label is not None and not isinstance(label, str):
                label = canonical_text(label)
        except LabelError as error:
            raise DatasetError(f"{path}:{line}: the label {error}; mend the row") from None
        if label is not None and labels is not None and label not in labels:
            raise DatasetError(
                f"{path}:{line}: the label {label!r:.80} is none of the labels of {step} ({', '.join(labels)}); "
                "mend the row"
            )
        words.append(Feedback(run, None if about in (None, step) else about, ok, label))
    return words
