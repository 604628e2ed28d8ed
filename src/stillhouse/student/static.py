"""`static:wordllama`: the mean of a text's token vectors, of the length 1. It needs `tokenizers`, not torch.

The vectors are WordLlama's (MIT): 256 numbers for each of 32,000 tokens, out of a language model's embeddings. They
come by `stillhouse fetch wordllama`, and lie in every student's folder.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from stillhouse.errors import ArtifactError
from stillhouse.runs import file_sha256
from stillhouse.student import embedded
from stillhouse.student.artifact import Header
from stillhouse.student.embeddings import remembered
from stillhouse.student.header import AGAIN
from stillhouse.student.job import Trained, TrainJob
from stillhouse.student.known_bases import WITH_TFIDF, fetched
from stillhouse.student.opening import tensor_shapes

VECTORS, TOKENIZER = "model.safetensors", "tokenizer.json"
_TEXTS_AT_ONCE = 256


class StaticEmbedder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shapes = tensor_shapes(folder / VECTORS)
        if len(shapes) != 1 or len(next(iter(shapes.values()))[1]) != 2:
            raise ArtifactError(f"{folder / VECTORS}: not one table of vectors; {AGAIN}")
        (table,) = load_file(folder / VECTORS).values()  # (tokens, width)
        self._vectors = np.asarray(table, dtype=np.float32)
        if not np.isfinite(self._vectors).all():
            raise ArtifactError(f"{folder / VECTORS}: the vectors hold something that is no number; {AGAIN}")
        self.width = self._vectors.shape[1]
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[bool]]:
        made = np.zeros((len(texts), self.width), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            part = list(texts[start : start + _TEXTS_AT_ONCE])
            for at, encoding in enumerate(self._tokenizer.encode_batch_fast(part, add_special_tokens=False), start):
                tokens = np.minimum(np.array(encoding.ids, dtype=np.int64), len(self._vectors) - 1)
                if len(tokens):
                    mean = self._vectors[tokens].mean(axis=0)
                    made[at] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return made, [False] * len(texts)

    def save(self, folder: Path) -> None:
        for name in (VECTORS, TOKENIZER):
            shutil.copyfile(self.folder / name, folder / name)


def train(job: TrainJob) -> Trained:
    embedder = StaticEmbedder(fetched(job.base.removesuffix(WITH_TFIDF)))
    made_by = "".join(file_sha256(embedder.folder / name)[:16] for name in (VECTORS, TOKENIZER))
    return embedded.train(job, embedder, remembered(made_by, embedder.embed))


def load(folder: Path, header: Header) -> embedded.EmbeddedStudent:
    return embedded.load(folder, header, StaticEmbedder(folder))
