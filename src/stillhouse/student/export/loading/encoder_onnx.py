import json
from pathlib import Path

import numpy as np
import onnxruntime
from reading import likeliest, pairs, second_from  # a file of this folder
from tokenizers import Tokenizer

about = json.loads(Path("about.json").read_text(encoding="utf-8"))
model, tokenizer = onnxruntime.InferenceSession("model.onnx"), Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation(about["max_length"])
taken = [each.name for each in model.get_inputs()]


def answer(input, choices=None):
    """The label or choice, and the probability that it is right. `input`: a text, or a dict of texts by field."""
    logits = []
    for pair in pairs(about, input, choices):
        tokens = tokenizer.encode(*pair)
        given = {"input_ids": tokens.ids, "attention_mask": tokens.attention_mask, "token_type_ids": tokens.type_ids}
        given["second_from"] = second_from(tokens.sequence_ids)
        logits.extend(model.run(["logits"], {name: np.array([given[name]]) for name in taken})[0][0])
    return likeliest(about, logits, choices)
