import json
import math
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

about = json.loads(Path("about.json").read_text(encoding="utf-8"))
writes_only = about["kind"] == "decoder-only"
model = (AutoModelForCausalLM if writes_only else AutoModelForSeq2SeqLM).from_pretrained(".").eval()
tokenizer, end = AutoTokenizer.from_pretrained("."), about["end"]
if about["own_text"]:
    from own_text import as_question, from_answer  # a file of this folder
else:
    as_question = from_answer = str


@torch.autocast("cpu", torch.bfloat16, about["bfloat16"])
def answer(input, choices=None):
    """The answer, or None where it did not end or is no label; and the probability that it is right to the letter."""
    text = input if isinstance(input, str) else "\n".join(f"{name}: {value}" for name, value in input.items())
    text += about["before_choices"] + about["between"].join(choices) if choices else ""
    ids = tokenizer(as_question(about["before"] + text + about["after"]))["input_ids"]
    ids = (ids[:-1] if ids[-1:] == [end] else ids) + ([] if writes_only else [end])
    asked = torch.tensor([ids[: about["max_length"]]])
    written = model.generate(asked, attention_mask=asked**0, return_dict_in_generate=True, output_logits=True)
    tokens = written.sequences[0, asked.shape[1] if writes_only else 1 :].tolist()
    log_p = sum(
        float(step[0].log_softmax(-1)[token]) for step, token in zip(written.logits, tokens, strict=True)
    ) / len(tokens)
    slope, offset = about["calibration"] or (None, None)
    confidence = math.exp(log_p) if slope is None else 1 / (1 + math.exp(-slope * log_p - offset))
    text = from_answer(tokenizer.decode(tokens, skip_special_tokens=True)).strip()
    allowed = choices or about["labels"]
    return (text if tokens[-1] == end and (not allowed or text in allowed) else None), confidence
