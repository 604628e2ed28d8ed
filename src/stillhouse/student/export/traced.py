"""A module of torch as an ONNX file, held against the module itself; its tokenizer as the file `tokenizers` reads.

Torch's default exporter takes a minute and a package more for what the older one (`dynamo=False`) writes in half a
second (docs/lab-notes.md). The older one follows one run of the module, and what hangs on the lengths of that run would
be frozen into the file: so the file is asked about inputs of other lengths before it is handed out.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from stillhouse.errors import ArtifactError

OPSET = 18
TOLERANCE = 1e-3  # most that a number may differ; sums in another order differ by some 1e-6
Answer = Callable[[Mapping[str, Tensor]], Tensor]


class _InOrder(nn.Module):
    """What `answer` makes of a mapping, as a module that takes the mapping's tensors one after the other."""

    def __init__(self, model: nn.Module, answer: Answer, names: Sequence[str]) -> None:
        super().__init__()
        self._model, self._answer, self._names = model, answer, names

    def forward(self, *tensors: Tensor) -> Tensor:
        return self._answer(dict(zip(self._names, tensors, strict=True)))


def write_graph(
    path: Path,
    model: nn.Module,
    answer: Answer,
    inputs: Mapping[str, Tensor],
    others: Mapping[str, Tensor],
    axes: Mapping[str, Sequence[str]],
    output: str,
) -> None:
    """Write what `answer`, which calls `model`, does with `inputs`; `others` are inputs of other lengths.

    `axes` names the first axes of each input: along these any length may come later. Raises ArtifactError where the
    file answers `others` otherwise than the model.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # it warns of each length that it takes for fixed: `_check` finds them
        torch.onnx.export(
            _InOrder(model, answer, list(inputs)).eval(),
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={name: dict(enumerate(of_input)) for name, of_input in axes.items()},
            opset_version=OPSET,
            dynamo=False,
        )
        _check(path, others, answer(others))


def _check(path: Path, given: Mapping[str, Tensor], wanted: Tensor) -> None:
    session = onnxruntime.InferenceSession(path)
    [found] = session.run(None, {each.name: given[each.name].numpy() for each in session.get_inputs()})
    if found.shape != wanted.shape or not np.allclose(found, wanted.numpy(), rtol=TOLERANCE, atol=TOLERANCE):
        raise ArtifactError(
            f"{path.name}: as ONNX this model answers inputs of another length otherwise than it does itself; "
            "use --to hf"
        )


def write_tokenizer(tokenizer: Any, folder: Path) -> None:
    """`tokenizer.json` as the student reads it, without the padding and cutting that its last batch had."""
    alone = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    alone.no_padding()
    alone.no_truncation()
    alone.save(str(folder / "tokenizer.json"))
