"""What a base made of texts, kept in the user's cache: curves, seeds and trainings after them embed no text twice.

A vector is found by the sha256 of its text and by what made it: the base's weights, its tokenizer and how they are
used. Kept are vectors and hashes, no text. Whoever has the vectors can guess at the texts, so the folder is the user's
alone; it may be removed at any time.
"""

import contextlib
import fcntl
import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from stillhouse.errors import StorageError
from stillhouse.notices import notice
from stillhouse.runs import write_atomic
from stillhouse.student.known_bases import cache

Floats = NDArray[np.float32]
Embed = Callable[[Sequence[str]], tuple[Floats, list[bool]]]
_MOST_BYTES = 1 << 30  # of one base; the oldest are removed beyond
_KEY_BYTES = 16


class _Kept:
    """The vectors of one base. One file holds what one training added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vectors: dict[bytes, tuple[Floats, bool]] = {}
        self._read: set[str] = set()

    @contextlib.contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Trainings that run beside one another wait here: the texts of one are mostly those of the other."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # nothing can be kept here, so there is nothing to wait for
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = stack.enter_context((self.folder / ".lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def read_new(self) -> None:
        """What this process has not read yet, such as files of another one."""
        for path in self.folder.glob("*.safetensors"):
            if path.name in self._read:
                continue
            self._read.add(path.name)
            try:
                tensors = load_file(path)
                keys, vectors, cut = tensors["keys"], tensors["vectors"], tensors["cut"]
            except (OSError, KeyError, ValueError, SafetensorError):  # torn, or removed meanwhile: it is made again
                continue
            for key, vector, was_cut in zip(keys, vectors, cut, strict=False):
                self.vectors[key.tobytes()] = vector, bool(was_cut)

    def add(self, keys: Sequence[bytes], vectors: Floats, cut: Sequence[bool]) -> None:
        self.vectors.update(zip(keys, zip(vectors, cut, strict=True), strict=True))
        tensors = {
            "keys": np.frombuffer(b"".join(keys), np.uint8).reshape(-1, _KEY_BYTES),
            "vectors": vectors,
            "cut": np.array(cut, np.uint8),
        }
        path = self.folder / f"{uuid.uuid4().hex}.safetensors"
        self._read.add(path.name)
        try:
            self._make_room()
            write_atomic(path, save(tensors))
        except (OSError, StorageError) as error:
            notice(f"embeddings are not kept for the next training ({error})")

    def _make_room(self) -> None:
        files = sorted(((path.stat().st_mtime, path) for path in self.folder.glob("*.safetensors")), reverse=True)
        total = 0
        for _, path in files:
            total += path.stat().st_size
            if total > _MOST_BYTES:
                with contextlib.suppress(OSError):
                    path.unlink()


_kept: dict[Path, _Kept] = {}


def remembered(
    made_by: str, embed: Embed
) -> Callable[[Sequence[str]], tuple[Mapping[str, Floats], Mapping[str, bool]]]:
    """`embed`, but of the texts alone that it was never asked for. `made_by`: the hash of all that decides a vector."""
    folder = cache() / "embeddings" / made_by[:32]
    kept = _kept.setdefault(folder, _Kept(folder))

    def lookup(texts: Sequence[str]) -> tuple[Mapping[str, Floats], Mapping[str, bool]]:
        keys = {text: hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:_KEY_BYTES] for text in texts}
        with kept.one_at_a_time():
            kept.read_new()
            new = [text for text, key in keys.items() if key not in kept.vectors]
            if new:
                vectors, cut = embed(new)
                kept.add([keys[text] for text in new], vectors, cut)
        found = {text: kept.vectors[key] for text, key in keys.items()}
        return {text: vector for text, (vector, _) in found.items()}, {text: cut for text, (_, cut) in found.items()}

    return lookup
