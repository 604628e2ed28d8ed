"""The text of a message's content: a text, or parts of which some are text."""

from typing import Any


def content_text(content: Any) -> str | None:
    """The text of a content as endpoints send it; None: it holds none. Parts that are no text are left out."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        text = content.get("text") if content.get("type", "text") in ("text", "output_text") else None
        return text if isinstance(text, str) else None
    if not isinstance(content, list):
        return None
    texts = [text for part in content if not isinstance(part, list) and (text := content_text(part)) is not None]
    return "".join(texts) if texts else None
