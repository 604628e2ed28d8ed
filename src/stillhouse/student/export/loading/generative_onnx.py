import json
import math
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

about = json.loads(Path("about.json").read_text(encoding="utf-8"))
encoder, decoder = onnxruntime.InferenceSession("encoder.onnx"), onnxruntime.InferenceSession("decoder.onnx")
tokenizer, end = Tokenizer.from_file("tokenizer.json"), about["end"]
if about["own_text"]:
    from own_text import as_question, from_answer  # a file of this folder
else:
    as_question = from_answer = str


def answer(input, choices=None):
    """The answer, or None where it did not end or is no label; and the probability that it is right to the letter."""
    text = input if isinstance(input, str) else "\n".join(f"{name}: {value}" for name, value in input.items())
    text += about["before_choices"] + about["between"].join(choices) if choices else ""
    ids = tokenizer.encode(as_question(about["before"] + text)).ids
    ids = np.array([[*(ids[:-1] if ids[-1:] == [end] else ids), end][: about["max_length"]]])
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    given["states"], tokens, log_ps = encoder.run(None, given)[0], [about["start"]], []
    while not log_ps or (tokens[-1] != end and len(log_ps) < about["most_new_tokens"]):
        given["decoder_input_ids"] = np.array([tokens])
        logits = decoder.run(None, {each.name: given[each.name] for each in decoder.get_inputs()})[0][0]
        tokens.append(int(logits.argmax()))
        log_ps.append(-math.log(np.exp(logits.astype(float) - logits.max()).sum()))
    log_p, (slope, offset) = sum(log_ps) / len(log_ps), about["calibration"] or (None, None)
    confidence = math.exp(log_p) if slope is None else 1 / (1 + math.exp(-slope * log_p - offset))
    text = from_answer(tokenizer.decode(tokens[1:], skip_special_tokens=True)).strip()
    allowed = choices or about["labels"]
    return (text if tokens[-1] == end and (not allowed or text in allowed) else None), confidence
