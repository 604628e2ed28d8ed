"""Where a training stands, on disk: one safetensors file that holds everything the next step depends on.

A training that was killed goes on from it with the same bits. A file that is damaged cannot be gone on from: it is put
aside, the log says why, and the training starts again.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from stillhouse.runs import storage_errors

CHECKPOINT = "checkpoint.safetensors"
_log = logging.getLogger(__name__)


class _Damaged(Exception):
    """Why a file is no checkpoint of this training."""


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
@dataclass
class State:
    """How far a training is. A checkpoint holds this and the tensors."""

    step: int = 0  # number of steps taken
    best_step: int = 0
    best_validation: float | None = None
    without_gain: int = 0  # number of validations since the last gain
    wall_s: float = 0.0
    validations: tuple[tuple[int, float], ...] = ()


def live(module: nn.Module) -> dict[str, Tensor]:
    """The tensors that training changes: trained parameters, tied ones once, and buffers.

    Frozen weights are not among them: they are read from the base again.
    """
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    return trained | dict(module.named_buffers())


def restore(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in live(module).items():
            tensor.copy_(weights[name])


def save_checkpoint(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, state: State, best: Mapping[str, Tensor]
) -> None:
    """One file, so that it is replaced as a whole."""
    tensors = {f"weights/{name}": tensor for name, tensor in live(module).items()}
    tensors |= {f"best/{name}": tensor for name, tensor in best.items()}
    for name, parameter in module.named_parameters():
        tensors |= {f"optimizer/{name}/{key}": value for key, value in optimizer.state.get(parameter, {}).items()}
    tensors["random/cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random/cuda"] = torch.cuda.get_rng_state()
    save_tensors(path, tensors, metadata={"state": json.dumps(asdict(state))})


def resume(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, total: int
) -> tuple[State, dict[str, Tensor]]:
    """Put back what `save_checkpoint` wrote; the state and the best weights. `total`: the steps of the whole training.

    Those of the beginning where there is no checkpoint, or a damaged one: the log says so, and the file is put aside.
    """
    module.train()
    if not path.exists():
        return State(), {}
    try:
        state, tensors = _read(path, module, total)
    except _Damaged as damage:
        aside = path.with_name(f"{path.name}.damaged")
        with storage_errors(path):
            path.replace(aside)
        _log.warning("%s: the checkpoint is damaged (%s): training starts again; it lies beside it now", path, damage)
        return State(), {}
    restore(module, {name: tensors[f"weights/{name}"] for name in live(module)})
    parameters = dict(module.named_parameters())
    for key, tensor in tensors.items():
        part, _, name = key.partition("/")
        if part == "optimizer":
            name, _, field = name.rpartition("/")
            optimizer.state[parameters[name]][field] = tensor.to(parameters[name].device)
    torch.set_rng_state(tensors["random/cpu"])
    if torch.cuda.is_available() and "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda"])
    return state, {key.removeprefix("best/"): tensor for key, tensor in tensors.items() if key.startswith("best/")}


def _read(path: Path, module: nn.Module, total: int) -> tuple[State, dict[str, Tensor]]:
    """The file's state and tensors, checked before any of them is used. Raises _Damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            state = TypeAdapter(State).validate_json((file.metadata() or {}).get("state", ""), strict=True)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except ValidationError:
        raise _Damaged("what it says of the training cannot be read") from None
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise _Damaged((str(error) or type(error).__name__).partition("\n")[0][:200]) from None
    in_order = 0 <= state.best_step <= state.step and 0 < state.step < total
    if not in_order or state.wall_s < 0 or state.without_gain < 0:
        raise _Damaged(f"it stands at step {state.step} of {total}, its best one at {state.best_step}")
    _check_tensors(tensors, module, has_best=state.best_validation is not None)
    return state, tensors


def _check_tensors(tensors: Mapping[str, Tensor], module: nn.Module, *, has_best: bool) -> None:
    """Raises _Damaged where a tensor is missing, too many, of another form, or holds something that is no number."""
    wanted: dict[str, Tensor] = {}
    for part in ("weights", "best") if has_best else ("weights",):
        wanted |= {f"{part}/{name}": tensor for name, tensor in live(module).items()}
    for name, parameter in module.named_parameters():
        moments: dict[str, Tensor] = {f"optimizer/{name}/{each}": parameter for each in ("exp_avg", "exp_avg_sq")}
        moments[f"optimizer/{name}/step"] = torch.zeros(())
        if not moments.keys().isdisjoint(tensors):  # a parameter without a gradient has none
            wanted |= moments
    wanted["random/cpu"] = torch.get_rng_state()
    if "random/cuda" in tensors:
        wanted["random/cuda"] = torch.zeros(tensors["random/cuda"].shape, dtype=torch.uint8)
    if odd := sorted(wanted.keys() ^ tensors.keys()):
        raise _Damaged(f"the tensor {odd[0][:100]!r} is {'missing' if odd[0] in wanted else 'not known'}")
    for key, tensor in tensors.items():
        if tensor.shape != wanted[key].shape or tensor.dtype != wanted[key].dtype:
            raise _Damaged(f"the tensor {key!r} has another form")
        if not bool(tensor.isfinite().all()):
            raise _Damaged(f"the tensor {key!r} holds something that is no number")
    try:
        torch.Generator().set_state(tensors["random/cpu"])
    except RuntimeError:
        raise _Damaged("the state of its random numbers cannot be put back") from None


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file: under a temporary name, flushed to disk, then renamed.

    Raises StorageError where the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.partial")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            save_file(on_cpu, temporary, dict(metadata or {}))
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except SafetensorError as error:  # safetensors reports a full disk with this error
            raise OSError(str(error)) from error
        finally:
            temporary.unlink(missing_ok=True)
