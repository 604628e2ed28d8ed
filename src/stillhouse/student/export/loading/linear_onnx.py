import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
from ngrams import features, pairs_of_row  # a file of this folder

about = json.loads(Path("about.json").read_text(encoding="utf-8"))
vocabulary = json.loads(Path("vocabulary.json").read_text(encoding="utf-8"))
place = {feature: at for at, feature in enumerate(vocabulary)}
model = onnxruntime.InferenceSession("model.onnx")


def answer(input, choices=None):
    """The label or choice, and the probability that it is right. `input`: a text, or a dict of texts by field."""
    fields = [input] if isinstance(input, str) else list(input.values())
    logits = []
    for document in pairs_of_row(fields, choices) if about["labels"] is None else [features(fields)]:
        counts = Counter(place[feature] for feature in document if feature in place)
        given = {"features": np.array([[*counts]], np.int64), "counts": np.array([[*counts.values()]], np.float32)}
        logits.extend(model.run(["logits"], given)[0][0])
    powers = np.exp((np.array(logits) - max(logits)) / about["temperature"])
    return max(zip(about["labels"] or choices, (powers / powers.sum()).tolist(), strict=True), key=lambda pair: pair[1])
