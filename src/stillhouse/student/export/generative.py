"""A generative student as files of `transformers`, or as ONNX: one graph that reads, and one that writes a token."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from stillhouse.errors import UserError
from stillhouse.student import bases, own_text
from stillhouse.student.artifact import Header
from stillhouse.student.copying import CopyingT5
from stillhouse.student.export.traced import write_graph, write_tokenizer
from stillhouse.student.generative import BETWEEN_CHOICES, CHOICES, PREDICT, GenerativeStudent
from stillhouse.student.train import bf16_is_native


def to_hf(student: GenerativeStudent, header: Header, source: Path, out: Path) -> Mapping[str, Any]:
    """The model, its tokenizer, and how it decodes: greedily, whatever its base does."""
    model, coder = student.model, student.coder
    if isinstance(model, CopyingT5):
        raise UserError(f"{source}: it copies from the question, which no class of transformers does; use --to onnx")
    model.generation_config = transformers.GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=student.most_new_tokens,
        eos_token_id=coder.end,
        pad_token_id=coder.pad,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
    )
    bases.save(out, model, coder.tokenizer)
    return _about(student, out) | {"bfloat16": bf16_is_native()}


def to_onnx(student: GenerativeStudent, header: Header, source: Path, out: Path) -> Mapping[str, Any]:
    """Both graphs, and the tokenizer. The writing graph reads the whole answer so far again for every token."""
    model, coder = student.model.cpu(), student.coder
    if not coder.encoder_decoder:
        raise UserError(f"{source}: its base is decoder-only, and ONNX takes those with an encoder; use --to hf")
    if coder.tokenizer.clean_up_tokenization_spaces:
        raise UserError(f"{source}: its tokenizer mends spaces, which its file alone does not; use --to hf")
    model.set_attn_implementation("eager")
    short, long = (_question(coder.question("is it good what a day")[:3], rows) for rows in (2, 3))
    axes: dict[str, tuple[str, ...]] = dict.fromkeys(short, ("rows", "tokens"))

    def read(given: Mapping[str, Tensor]) -> Tensor:
        """(rows, tokens, width)."""
        states: Tensor = model.get_encoder()(**given).last_hidden_state
        return states

    def write(given: Mapping[str, Tensor]) -> Tensor:
        """The next token's logits, (rows, vocabulary)."""
        others = {name: tensor for name, tensor in given.items() if name != "states"}
        out = model(**others, encoder_outputs=BaseModelOutput(given["states"]), use_cache=False)
        logits: Tensor = out.logits[:, -1]
        return logits

    write_graph(out / "encoder.onnx", model, read, short, long, axes, "states")
    with torch.no_grad():
        short, long = (
            question | {"states": read(question), "decoder_input_ids": question["input_ids"][:, 1:]}
            for question in (short, long)
        )
    axes |= {"states": ("rows", "tokens"), "decoder_input_ids": ("rows", "answer")}
    write_graph(out / "decoder.onnx", model, write, short, long, axes, "logits")
    write_tokenizer(coder.tokenizer, out)
    return _about(student, out) | {"start": model.config.decoder_start_token_id}


def _question(tokens: list[int], n: int) -> dict[str, Tensor]:
    """`n` questions, each of these tokens `n` times."""
    ids = torch.tensor([tokens * n] * n)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _about(student: GenerativeStudent, out: Path) -> dict[str, Any]:
    coder = student.coder
    if coder.own:
        shutil.copyfile(own_text.__file__, out / "own_text.py")
    return {
        "kind": "encoder-decoder" if coder.encoder_decoder else "decoder-only",
        "own_text": coder.own,
        "before": PREDICT if coder.prefixed else "",
        "after": "" if coder.encoder_decoder else "\n",
        "before_choices": CHOICES,
        "between": BETWEEN_CHOICES,
        "end": coder.end,
        "max_length": coder.max_length,
        "most_new_tokens": student.most_new_tokens,
        "calibration": student.calibration,
    }
