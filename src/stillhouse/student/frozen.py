"""`frozen:BASE`: the mean of an encoder's last states over a text's tokens, of the length 1; none of it is trained."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from stillhouse.student import bases, embedded
from stillhouse.student.artifact import Header
from stillhouse.student.embeddings import remembered
from stillhouse.student.job import Trained, TrainJob
from stillhouse.student.known_bases import WITH_TFIDF
from stillhouse.student.opening import TELLING_WHAT_FITS, check_config, check_loaded, check_model
from stillhouse.student.train import device

MAX_LENGTH = 256  # tokens of a text; the rest is not read, and counted as cut
_TOKENS_AT_ONCE = 2048  # padding included


class FrozenEmbedder:
    def __init__(self, body: Any, tokenizer: Any) -> None:
        self.body, self.tokenizer = body.to(device()).eval(), tokenizer
        self.width = int(body.config.hidden_size)

    def embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[bool]]:
        made = np.zeros((len(texts), self.width), dtype=np.float32)
        if not texts:
            return made, []
        encoded = self.tokenizer(list(texts), truncation=True, max_length=MAX_LENGTH)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        cut = [bool(encoding.overflowing) for encoding in encoded.encodings]
        by_length = sorted(range(len(texts)), key=lengths.__getitem__)
        start = 0
        while start < len(by_length):
            end = start + 1
            while end < len(by_length) and lengths[by_length[end]] * (end + 1 - start) <= _TOKENS_AT_ONCE:
                end += 1
            part, start = by_length[start:end], end
            made[part] = self._means({name: [encoded[name][at] for at in part] for name in encoded})
        return made, cut

    def _means(self, part: dict[str, list[list[int]]]) -> NDArray[np.float32]:
        batch = self.tokenizer.pad(part, return_tensors="pt").to(self.body.device)
        if batch["input_ids"].shape[1] == 0:
            return np.zeros((len(part["input_ids"]), self.width), dtype=np.float32)
        with torch.inference_mode():
            states = self.body(**batch).last_hidden_state.float()  # (texts, tokens, width)
            real = batch["attention_mask"].unsqueeze(-1).float()  # (texts, tokens, 1)
            means = (states * real).sum(1) / real.sum(1).clamp(min=1)
            return np.asarray(torch.nn.functional.normalize(means, dim=-1).cpu().numpy())

    def save(self, folder: Path) -> None:
        bases.save(folder, self.body, self.tokenizer)

    def made_by(self) -> str:
        """A hash of all that decides a vector."""
        digest = hashlib.sha256(f"mean of {MAX_LENGTH} tokens, {self.body.config.model_type}".encode())
        digest.update(self.tokenizer.backend_tokenizer.to_str().encode())
        for name, weights in self.body.named_parameters():
            digest.update(name.encode())
            digest.update(weights.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def train(job: TrainJob) -> Trained:
    source = bases.resolve(job.base.removesuffix(WITH_TFIDF))
    embedder = FrozenEmbedder(bases.load_weights(transformers.AutoModel, source), bases.load_tokenizer(source))
    return embedded.train(job, embedder, remembered(embedder.made_by(), embedder.embed))


def load(folder: Path, header: Header) -> embedded.EmbeddedStudent:
    check_config(folder)
    body, loaded = bases.load_weights(transformers.AutoModel, str(folder), **TELLING_WHAT_FITS)
    check_loaded(folder, loaded)
    tokenizer = bases.load_tokenizer(str(folder))
    check_model(folder, body, tokenizer)
    return embedded.load(folder, header, FrozenEmbedder(body, tokenizer))
