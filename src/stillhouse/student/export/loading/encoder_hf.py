import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

about = json.loads(Path("about.json").read_text(encoding="utf-8"))
body, tokenizer = AutoModel.from_pretrained(".").eval(), AutoTokenizer.from_pretrained(".")
head = load_file("head.safetensors")


@torch.inference_mode()
def answer(input, choices=None):
    """The label or choice, and the probability that it is right. `input`: a text, or a dict of texts by field."""
    first, *rest = [input] if isinstance(input, str) else input.values()
    pairs = [(first, about["between"].join(rest)) if rest else (first,)]
    if about["labels"] is None:
        pairs = [(about["between"].join([first, *rest]), choice) for choice in choices]
    logits = []
    for pair in pairs:
        tokens = tokenizer(*pair, truncation=True, max_length=about["max_length"], return_tensors="pt")
        states = body(**tokens).last_hidden_state[0]
        begins = next((at for at, segment in enumerate(tokens.sequence_ids()) if segment == 1), len(states))
        a, b = states[:begins].mean(0), states[begins:].sum(0) / max(1, len(states) - begins)
        pooled = torch.cat([a, b, (a - b).abs(), a * b]) if about["pairs"] else states.mean(0)
        logits.extend((head["weight"] @ pooled + head["bias"]).tolist())
    probabilities = (torch.tensor(logits) / about["temperature"]).softmax(0).tolist()
    return max(zip(about["labels"] or choices, probabilities, strict=True), key=lambda pair: pair[1])
