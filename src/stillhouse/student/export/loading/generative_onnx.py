import json
from pathlib import Path

import numpy as np
import onnxruntime
from reading import question, read, written  # a file of this folder
from tokenizers import Tokenizer

about = json.loads(Path("about.json").read_text(encoding="utf-8"))
encoder, decoder = onnxruntime.InferenceSession("encoder.onnx"), onnxruntime.InferenceSession("decoder.onnx")
tokenizer, taken = Tokenizer.from_file("tokenizer.json"), [each.name for each in decoder.get_inputs()]


def answer(input, choices=None):
    """The answer, or None where it did not end or is no label; and the probability that it is right to the letter."""
    ids = np.array([read(about, tokenizer.encode(question(about, input, choices)).ids)])
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    given["states"], tokens, logprobs = encoder.run(None, given)[0], [about["start"]], []
    while not logprobs or (tokens[-1] != about["end"] and len(logprobs) < about["most_new_tokens"]):
        given["decoder_input_ids"] = np.array([tokens])
        logits = decoder.run(None, {name: given[name] for name in taken})[0][0].astype(float)
        tokens.append(int(logits.argmax()))
        logprobs.append(-np.log(np.exp(logits - logits.max()).sum()))
    return written(about, tokenizer.decode(tokens[1:]), logprobs, tokens[-1] == about["end"], choices)
