import json
from pathlib import Path

import torch
from reading import likeliest, pairs, second_from  # a file of this folder
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

about = json.loads(Path("about.json").read_text(encoding="utf-8"))
body, tokenizer = AutoModel.from_pretrained(".").eval(), AutoTokenizer.from_pretrained(".")
head = load_file("head.safetensors")


@torch.inference_mode()
def answer(input, choices=None):
    """The label or choice, and the probability that it is right. `input`: a text, or a dict of texts by field."""
    logits = []
    for pair in pairs(about, input, choices):
        tokens = tokenizer(*pair, truncation=True, max_length=about["max_length"], return_tensors="pt")
        states, begins = body(**tokens).last_hidden_state[0], second_from(tokens.sequence_ids())
        a, b = states[:begins].mean(0), states[begins:].sum(0) / max(1, len(states) - begins)
        pooled = torch.cat([a, b, (a - b).abs(), a * b]) if about["pairs"] else states.mean(0)
        logits.extend((head["weight"] @ pooled + head["bias"]).tolist())
    return likeliest(about, logits, choices)
