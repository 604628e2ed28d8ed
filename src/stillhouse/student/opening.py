"""A student's own files, checked for what they are before they are used: sizes, shapes, vocabulary, numbers.

The checksums say that a file is the one that the header means. These checks hold for files whose checksum somebody has
written anew: such a student is refused in a sentence, and serves nobody an answer by chance.
"""

import contextlib
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.errors import ArtifactError, MissingExtraError
from stillhouse.records import Example
from stillhouse.student.header import AGAIN, read_json_file, read_object

CONFIG = "config.json"
_MOST_CONFIG_BYTES = 16 << 20
_MOST_GROWTH = 100.0  # of a text by a tokenizer's replacements; those of known bases are below 4
_MOST_TOKENIZER_BYTES = 256 << 20
# Of neural students: trained ones stay below some hundreds, and sums and products of such weights are still numbers.
LARGEST_WEIGHT = 1e4
# With this `from_pretrained` tells which weights were not in the files, and does not end at those of another shape.
TELLING_WHAT_FITS: Mapping[str, Any] = {"output_loading_info": True, "ignore_mismatched_sizes": True}
_LONGEST_TENSOR_HEADER = 100_000_000  # bytes; the format's own bound


@contextlib.contextmanager
def as_damage(folder: Path) -> Iterator[None]:
    """Turn whatever a library says of a student's files into one sentence that names the folder.

    Everything is caught, because they raise bare Exceptions, and what is not ours comes from the files alone.
    """
    try:
        yield
    except (ArtifactError, MissingExtraError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # what a library in Rust panics with is no Exception
        lines = str(error).strip().splitlines()
        reason = lines[0][:200].rstrip(".") if lines else type(error).__name__
        raise ArtifactError(f"{folder}: the student's files do not fit together ({reason}); {AGAIN}") from error


def check_tensors(path: Path, shapes: Mapping[str, Sequence[int]], *, dtype: str = "F32") -> None:
    """Raises ArtifactError where the file holds other tensors than these."""
    held = tensor_shapes(path)
    if set(held) != set(shapes):
        odd = sorted(set(held) ^ set(shapes))[0]
        raise ArtifactError(
            f"{path}: the tensor {odd[:100]!r} is {'missing' if odd in shapes else 'not known'}; {AGAIN}"
        )
    for name, shape in shapes.items():
        if held[name] != (dtype, tuple(shape)):
            raise ArtifactError(
                f"{path}: the tensor {name!r} is {_spelled(*held[name])}, and labels and vocabulary need "
                f"{_spelled(dtype, shape)}; {AGAIN}"
            )


def tensor_shapes(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every tensor, from the file's own header: nothing else of it is read."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(_LONGEST_TENSOR_HEADER, path.stat().st_size):
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        tensors = {name: each for name, each in header.items() if name != "__metadata__"}
        return {name: (str(each["dtype"]), tuple(map(int, each["shape"]))) for name, each in tensors.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{path}: not a safetensors file ({error}); {AGAIN}") from None


def read_vocabulary(path: Path, n_features: int) -> list[str]:
    """The list of a linear student's features, all different."""
    words = read_json_file(path, _MOST_TOKENIZER_BYTES)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ArtifactError(f"{path}: not a list of texts; {AGAIN}")
    if len(words) != n_features or len(set(words)) != len(words):
        raise ArtifactError(
            f"{path}: {len(set(words))} different features, and student.json says {n_features}; {AGAIN}"
        )
    return words


def check_config(folder: Path) -> None:
    """Raises ArtifactError for a `config.json` whose model the weights beside it cannot fill.

    A model is built by its configuration before its weights are read: a billion layers would be begun.
    """
    path = folder / CONFIG
    config = read_object(path, _MOST_CONFIG_BYTES)
    n_tensors, n_bytes = 0, 0
    for weights in folder.glob("*.safetensors"):
        shapes = tensor_shapes(weights)
        n_tensors += len(shapes)
        n_bytes += weights.stat().st_size
    for key, value in _numbers(config):
        size = key.endswith(("_size", "d_model", "d_ff", "d_kv", "n_embd", "n_inner", "n_positions", "_buckets"))
        most = n_tensors if "layers" in key or key == "n_layer" else n_bytes if size or "heads" in key else 10**15
        if not -most <= value <= most:
            raise ArtifactError(f"{path}: {key} = {value:.6g}, which the weights beside it do not fill; {AGAIN}")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            parts = read_object(folder / name, _MOST_TOKENIZER_BYTES)
            if (growth := _growth([parts.get("normalizer"), parts.get("pre_tokenizer")])) > _MOST_GROWTH:
                raise ArtifactError(f"{folder / name}: it makes a text {growth:.6g} times as long; {AGAIN}")


def _growth(part: Any) -> float:
    """How many times as long a tokenizer's replacements may make a text, one after the other."""
    if isinstance(part, list):
        return math.prod(map(_growth, part))
    if not isinstance(part, Mapping):
        return 1.0
    content, pattern = part.get("content"), part.get("pattern")
    if part.get("type") == "Replace" and isinstance(content, str):
        replaced = pattern.get("String") if isinstance(pattern, Mapping) else pattern
        return max(1.0, len(content) / max(1, len(replaced) if isinstance(replaced, str) else 1))
    return math.prod(map(_growth, part.values()))


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _numbers(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield key, float(value) if abs(value) < 1e300 else math.copysign(1e300, value)


def check_loaded(folder: Path, loaded: Mapping[str, Any]) -> None:
    """Raises ArtifactError where some weights were not in the files: they would be drawn at random.

    `loaded`: what was told by `from_pretrained` with `TELLING_WHAT_FITS`.
    """
    of_another_shape = (key if isinstance(key, str) else key[0] for key in loaded["mismatched_keys"])
    if absent := sorted((*loaded["missing_keys"], *of_another_shape)):
        raise ArtifactError(f"{folder}: the weights {absent[0]} are not in its files, or of another shape; {AGAIN}")


def check_model(folder: Path, model: Any, tokenizer: Any) -> None:
    """Raises ArtifactError where the vocabulary is larger than the model's, or a weight is none of a trained model."""
    known, held = model.get_input_embeddings().num_embeddings, max(tokenizer.get_vocab().values(), default=-1) + 1
    if held > known:
        raise ArtifactError(f"{folder}: its vocabulary has {held} tokens, and its weights know {known}; {AGAIN}")
    check_weights(folder, model)


def check_weights(place: Path, module: Any) -> None:
    """Raises ArtifactError for weights that are no numbers, or so large that no training gives them."""
    for name, weights in module.named_parameters():
        if weights.numel() == 0:
            continue
        low, high = (float(end) for end in weights.detach().aminmax())  # NaN, if it holds one
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ArtifactError(f"{place}: the weights {name} hold something that is no number; {AGAIN}")
        if (largest := max(-low, high)) > LARGEST_WEIGHT:
            raise ArtifactError(
                f"{place}: the weights {name} hold {largest:.6g}, and no training gives more than "
                f"{LARGEST_WEIGHT:g}; {AGAIN}"
            )


def check_answer(folder: Path, numbers: Iterable[float | None]) -> None:
    """Raises ArtifactError where what was computed for the probe is no number: so it would be for every request."""
    if any(number is not None and not math.isfinite(number) for number in numbers):
        raise ArtifactError(f"{folder}: its weights give answers that are no numbers; {AGAIN}")


def probe(labels: Sequence[str] | None, input_fields: Sequence[str] | None) -> Example | None:
    """A row to ask a student once while it is opened; None where it is not known what its rows look like."""
    if input_fields is None:
        return None
    asked = {name: "a" for name in input_fields} if input_fields else "a"
    return Example("probe", asked, choices=None if labels is not None else ("a", "b"))


def _spelled(dtype: str, shape: Sequence[int]) -> str:
    return f"{dtype} {' x '.join(map(str, shape)) or 'scalar'}"
