"""Templates inside user messages: what an app's prompts have in common where it sends no system message.

Prompts to one model with the same first line, or words up to a colon, are held against each other. What all of them
have around their inputs, in whole lines or up to a colon, is the template of a step (`data.prompt_frame`). A text that
only begins like others, as questions of people do, has none.

Pure: values in, values out.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from stillhouse.data.prompt_frame import frame_of, framed

_FIRST_LINE = re.compile(r"\s*([^\n:]{1,300})[\n:]")
_FIRST_WORDS = 4  # by which prompts without such a line are brought together
_MOST_HELD = 200  # prompts of one beginning that are held against each other
_MOST_HEADS = 2_000  # beginnings that are looked at

Head = tuple[str, str]  # (model, first line)


def templates_in(prompts: Iterable[tuple[str | None, str | None]]) -> Mapping[Head, str]:
    """The template of each beginning that has one, from (model, prompt) of calls without any other constant part."""
    held: defaultdict[Head, list[str]] = defaultdict(list)
    for model, prompt in prompts:
        if prompt is None or ((head := _head(model, prompt)) not in held and len(held) >= _MOST_HEADS):
            continue
        if len(held[head]) < _MOST_HELD:
            held[head].append(prompt)
    return {head: template for head, texts in held.items() if (template := frame_of(texts)) is not None}


def template_of(model: str | None, prompt: str | None, templates: Mapping[Head, str]) -> str | None:
    """The template that this prompt has around its input; None: it has none."""
    if prompt is None or (template := templates.get(_head(model, prompt))) is None:
        return None
    return template if framed(prompt, template) is not None else None


def _head(model: str | None, prompt: str) -> Head:
    line = _FIRST_LINE.match(prompt)
    return model or "", line[1].strip() if line else " ".join(prompt[:300].split()[:_FIRST_WORDS])
