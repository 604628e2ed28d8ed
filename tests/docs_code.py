"""The code blocks of a Markdown page."""

from pathlib import Path


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language, in order; "" for those without."""
    found, current, inside = [], [], None
    for line in page.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith("```"):
            if inside is None:
                inside, current = line[3:].strip(), []
            else:
                if inside == language:
                    found.append("".join(current))
                inside = None
        elif inside is not None:
            current.append(line)
    return found
