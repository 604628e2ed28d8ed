"""A tool that finds passages: in local documents by BM25, or wherever a provider looks.

BM25 is from Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework".
"""

import asyncio
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol, runtime_checkable

from pydantic import Field

from stillhouse.errors import UserError
from stillhouse.flow.tools.html_text import html_text
from stillhouse.flow.tools.tool import Tool, ToolError, clean, tool

SUFFIXES = (".md", ".txt", ".rst", ".html", ".htm")
PASSAGE_CHARS = 1_200
MAX_WORDS = 64  # most words of a query that are looked for


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage, and the name of the document that it stands in (for the web: its address)."""

    document: str
    text: str


@runtime_checkable
class SearchProvider(Protocol):
    """Whoever can search: local documents, or a service that searches the web."""

    async def search(self, query: str, top: int) -> Sequence[Hit]:
        """At most `top` hits, the best first."""
        ...


def search(
    source: Path | str | Mapping[str, str] | SearchProvider,
    *,
    top: int = 5,
    max_chars: int = 20_000,
    timeout_s: float = 30.0,
    name: str = "search",
) -> Tool:
    """A tool that gives the passages of `source` that fit a query best, each with its document's name.

    `source`: a folder; a mapping from names to texts; or a SearchProvider. Of a folder the .md, .txt, .rst and .html
    files (UTF-8, at any depth) are read into memory now, once; names that begin with a dot, and folders of such names,
    are left out. A word is what stands between spaces and punctuation, so in languages that write no spaces only whole
    phrases are found. Raises UserError where there is nothing to search or a file is not UTF-8.
    """
    if top < 1:
        raise UserError(f"search was given top = {top}; it must be at least 1")
    provider = source if isinstance(source, SearchProvider) else LocalDocuments(_documents(source))

    async def find(query: Annotated[str, Field(description="the words to look for")]) -> str:
        hits = await provider.search(clean(query), top)
        shown = "\n\n".join(f"[{number}] {hit.document}\n{hit.text}" for number, hit in enumerate(hits, start=1))
        return shown or "nothing was found; try other words"

    find.__doc__ = (
        "Search the documents. "
        "The answer is the passages that fit the words of the query best, each under its document's name."
    )
    return tool(find, name=name, timeout_s=timeout_s, max_chars=max_chars)


class LocalDocuments:
    """Documents in an SQLite FTS5 index in memory, cut into passages.

    Words are compared without case, accents and English endings.
    """

    def __init__(self, documents: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        tokenizer = "porter unicode61 remove_diacritics 2"
        self._index.execute(f"CREATE VIRTUAL TABLE passages USING fts5(document, text, tokenize = '{tokenizer}')")
        rows = ((clean(document), passage) for document, text in documents.items() for passage in passages(clean(text)))
        self._index.executemany("INSERT INTO passages VALUES (?, ?)", rows)
        if self._index.execute("SELECT COUNT(*) FROM passages").fetchone()[0] == 0:
            raise UserError("search was given no document with text in it; give it at least one")

    async def search(self, query: str, top: int) -> Sequence[Hit]:
        """At most `top` passages with at least one of the words, by BM25.

        Raises ToolError where the query has no word.
        """
        words = list(dict.fromkeys(re.findall(r"\w+", query.lower())))[:MAX_WORDS]
        if not words:
            raise ToolError(f"the query {query[:80]!r} has no word in it; give the words to look for")
        return await asyncio.to_thread(self._find, words, top)

    def _find(self, words: Sequence[str], top: int) -> list[Hit]:
        # FTS5 takes a quoted word as a word, and never as one of its operators; \w lets no quote into a word.
        match = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            rows = self._index.execute(
                "SELECT document, text FROM passages WHERE passages MATCH ? ORDER BY bm25(passages), rowid LIMIT ?",
                (match, top),
            )
            return [Hit(document, text) for document, text in rows]


def passages(text: str) -> Iterator[str]:
    """A text in pieces of whole paragraphs, up to PASSAGE_CHARS each; a longer paragraph is cut between words."""
    gathered = ""
    for paragraph in re.split(r"\n\s*\n", text):
        for piece in _pieces(paragraph.strip()):
            if gathered and len(gathered) + 2 + len(piece) > PASSAGE_CHARS:
                yield gathered
                gathered = ""
            gathered = f"{gathered}\n\n{piece}" if gathered else piece
    if gathered:
        yield gathered


def _pieces(paragraph: str) -> Iterator[str]:
    while len(paragraph) > PASSAGE_CHARS:
        end = paragraph.rfind(" ", PASSAGE_CHARS // 2, PASSAGE_CHARS)
        end = PASSAGE_CHARS if end < 0 else end
        yield paragraph[:end]
        paragraph = paragraph[end:].lstrip()
    if paragraph:
        yield paragraph


def _documents(source: Path | str | Mapping[str, str]) -> Mapping[str, str]:
    if isinstance(source, Mapping):
        return source
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder to search; name one, or give the documents as a mapping from names to texts"
        )
    texts: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise UserError(
                f"{path} is not UTF-8 text; save it as UTF-8, or give it another ending than {path.suffix}"
            ) from None
        except OSError as error:
            remedy = "mend its permissions, or take it out of the folder"
            raise UserError(f"{path} cannot be read ({error.strerror}); {remedy}") from None
        texts[inside.as_posix()] = html_text(text) if path.suffix.lower() in (".html", ".htm") else text
    if not texts:
        raise UserError(f"{folder} holds no document to search; it reads {', '.join(SUFFIXES)} files")
    return texts
