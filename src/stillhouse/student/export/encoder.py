"""An encoder student as files of `transformers` with its head beside them, or as ONNX with the head in the graph."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stillhouse.records import Example
from stillhouse.student import bases
from stillhouse.student.artifact import Header
from stillhouse.student.checkpoint import save_tensors
from stillhouse.student.encoder import HEAD, SECOND, EncoderStudent, between_fields, collate, encode
from stillhouse.student.export.traced import write_graph, write_tokenizer

_TWO_ROWS = (  # any rows, with two segments
    Example("1", {"first": "is it good", "second": "what a day"}),
    Example("2", {"first": "a", "second": "b"}),
)
_LONGER_ROWS = (*_TWO_ROWS, Example("3", {"first": "is it good or is it bad", "second": "what a day that was"}))


def to_hf(student: EncoderStudent, header: Header, source: Path, out: Path) -> Mapping[str, Any]:
    """The body as `AutoModel` reads it, its tokenizer, and the head.

    No class of transformers has this head, which sees means over the tokens: in `AutoModelForSequenceClassification`
    the same weights would answer otherwise.
    """
    classifier: Any = student.module
    bases.save(out, classifier.body, student.tokenizer)
    save_tensors(out / HEAD, classifier.head.state_dict())
    return _about(student) | {"pairs": classifier.pairs}


def to_onnx(student: EncoderStudent, header: Header, source: Path, out: Path) -> Mapping[str, Any]:
    """One graph from token numbers to logits, and the tokenizer."""
    classifier: Any = student.module.cpu()
    classifier.body.set_attn_implementation("eager")
    given, others = (
        collate(encode(rows, student.tokenizer, ("a", "b"), student.max_length), student.tokenizer)
        for rows in (_TWO_ROWS, _LONGER_ROWS)
    )
    axes = {name: ("rows",) if name == SECOND else ("rows", "tokens") for name in given}
    write_graph(out / "model.onnx", classifier, classifier, given, others, axes, "logits")
    write_tokenizer(student.tokenizer, out)
    return _about(student)


def _about(student: EncoderStudent) -> dict[str, Any]:
    return {
        "temperature": student.temperature,
        "max_length": student.max_length,
        "between": between_fields(student.tokenizer),
    }
