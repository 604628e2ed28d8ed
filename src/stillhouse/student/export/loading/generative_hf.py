import json
from pathlib import Path

import torch
from reading import question, read, written  # a file of this folder
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

about = json.loads(Path("about.json").read_text(encoding="utf-8"))
kind = AutoModelForCausalLM if about["kind"] == "decoder-only" else AutoModelForSeq2SeqLM
model, tokenizer = kind.from_pretrained(".").eval(), AutoTokenizer.from_pretrained(".")


@torch.inference_mode()
@torch.autocast("cpu", torch.bfloat16, about["bfloat16"])
def answer(input, choices=None):
    """The answer, or None where it did not end or is no label; and the probability that it is right to the letter."""
    ids = torch.tensor([read(about, tokenizer(question(about, input, choices))["input_ids"])])
    out = model.generate(ids, attention_mask=ids**0, return_dict_in_generate=True, output_logits=True)
    tokens = out.sequences[0, -len(out.logits) :].tolist()
    logprobs = [float(step[0].float().log_softmax(-1)[token]) for step, token in zip(out.logits, tokens, strict=True)]
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    return written(about, text, logprobs, tokens[-1] == about["end"], choices)
