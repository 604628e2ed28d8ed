"""The text of an HTML page: what a reader sees, without scripts, styles and markup.

A scanner of its own and not `html.parser`, because pages come from strangers: `html.parser` takes 0.35 s for 3 kB of
`<a <a <a` and 1.1 s for 6 kB (measured, Python 3.11.7). The time of this one grows with the page's length alone.
"""

import html
import re

_TAG = re.compile(r"<(?P<closing>/?)(?P<name>[a-zA-Z][^\s/>]*)")
_ATTRIBUTES = re.compile(r"(?:[^>=]+|=\s*(?:\"[^\"]{0,4000}\"|'[^']{0,4000}')?){0,200}")  # a quoted value may hold a >
_UNSEEN = {"script", "style", "noscript", "template", "svg", "iframe", "object", "textarea", "title"}
_BLOCKS = """
    address article aside blockquote body br dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li
    main nav ol option p pre section table tr ul
"""
_BREAKS = frozenset(_BLOCKS.split())


def html_text(page: str) -> str:
    """The page's title and its visible text, about a block a line."""
    title, parts, at = "", [], 0
    while (start := page.find("<", at)) >= 0:
        parts.append(_visible(page[at:start]))
        tag = _TAG.match(page, start)
        if tag is None:
            at = _past_markup(page, start)
            if at == start + 1:
                parts.append("<")  # a less-than sign that begins no tag is text
            continue
        name = tag["name"].lower()
        # The pattern matches at least the empty text.
        at = _past(page, ">", _ATTRIBUTES.match(page, tag.end()).end())  # type: ignore[union-attr]
        if name in _UNSEEN and not tag["closing"]:
            end = re.compile(rf"</{name}\b", re.IGNORECASE).search(page, at)
            if name == "title" and not title:
                title = " ".join(_visible(page[at : end.start() if end else None]).split())
            at = end.start() if end else len(page)
        elif name in _BREAKS:
            parts.append("\n")
        elif name in ("td", "th") and not tag["closing"]:
            parts.append("\t")
    parts.append(_visible(page[at:]))
    lines = (re.sub(r" *\t[ \t]*", "\t", re.sub(r" {2,}", " ", line)).strip() for line in "".join(parts).split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    return f"{title}\n\n{text}".strip() if not text.startswith(title) else text


def _past_markup(page: str, start: int) -> int:
    """The place behind the comment or declaration that begins here; behind the sign itself where it is none."""
    if page.startswith("<!--", start):
        return _past(page, "-->", start + 4)
    return _past(page, ">", start) if page[start + 1 : start + 2] in ("!", "?", "/") else start + 1


def _past(page: str, mark: str, start: int) -> int:
    end = page.find(mark, start)
    return len(page) if end < 0 else end + len(mark)


def _visible(text: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(text))
