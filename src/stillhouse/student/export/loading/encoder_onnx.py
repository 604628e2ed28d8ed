import json
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

about = json.loads(Path("about.json").read_text(encoding="utf-8"))
model, tokenizer = onnxruntime.InferenceSession("model.onnx"), Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation(about["max_length"])


def answer(input, choices=None):
    """The label or choice, and the probability that it is right. `input`: a text, or a dict of texts by field."""
    first, *rest = [input] if isinstance(input, str) else input.values()
    pairs = [(first, about["between"].join(rest)) if rest else (first,)]
    if about["labels"] is None:
        pairs = [(about["between"].join([first, *rest]), choice) for choice in choices]
    logits = []
    for pair in pairs:
        tokens = tokenizer.encode(*pair)
        begins = next((at for at, segment in enumerate(tokens.sequence_ids) if segment == 1), len(tokens))
        given = {"input_ids": tokens.ids, "attention_mask": tokens.attention_mask, "token_type_ids": tokens.type_ids}
        given = {each.name: np.array([(given | {"second_from": begins})[each.name]]) for each in model.get_inputs()}
        logits.extend(model.run(["logits"], given)[0][0])
    powers = np.exp((np.array(logits) - max(logits)) / about["temperature"])
    return max(zip(about["labels"] or choices, (powers / powers.sum()).tolist(), strict=True), key=lambda pair: pair[1])
