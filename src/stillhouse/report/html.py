"""What all pages share: the Jinja2 templates with their style sheets, and drawings in two widths or as SVG files.

A page loads nothing: styles and drawings are inside, and a content security policy says so to the browser. Whatever
came from data or models is escaped, by Jinja2's autoescape or by `svg.tag`.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from stillhouse import numbers
from stillhouse.clean_text import xml_text

_FOLDER = Path(__file__).parent / "templates"


@cache
def templates() -> jinja2.Environment:
    """The templates, with the functions of `numbers` as filters and the style sheets as global names."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats: tuple[Callable[..., str], ...] = (
        *(numbers.count, numbers.percent, numbers.bare, numbers.interval, numbers.points),
        *(numbers.usd, numbers.seconds, numbers.size, numbers.day, numbers.tied),
        numbers.confidence_in_table,
    )
    environment.filters.update({function.__name__: function for function in formats})
    # The style sheets are our own files, so their text is put into <style> without escaping.
    environment.globals["style"] = Markup(sheets("colours.css", "style.css"))
    environment.globals["run_style"] = Markup(sheets("flow.css", "run.css"))
    environment.globals["blind_style"] = Markup(sheets("colours.css", "blind.css"))
    return environment


def _clean(value: object) -> object:
    """What a template writes, before it is escaped."""
    return xml_text(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def sheets(*names: str) -> str:
    """Style sheets of the templates' folder, one after the other."""
    return "".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)


def two_widths(draw: Callable[[int], Markup], wide: int, narrow: int) -> Markup:
    """A drawing in a wide and a narrow cut, of which the style sheet shows the one that fits; or an empty drawing."""
    wider = draw(wide)
    if not wider:
        return Markup("")
    return Markup("<div class='wide'>{}</div><div class='narrow'>{}</div>").format(wider, draw(narrow))


def standalone(drawing: Markup) -> str:
    """A plot as an SVG file of its own: with its style rules and a ground, light or dark as the reader's system is."""
    rules = [rule for rule in sheets("style.css").splitlines() if rule.startswith((".plot ", "svg.plot "))]
    inside = "\n".join([sheets("colours.css").rstrip(), *rules, "svg { background: var(--paper); }"])
    head, tail = str(drawing).split(">", 1)
    return f"{head} xmlns='http://www.w3.org/2000/svg'><style>\n{inside}\n</style>{tail}\n"
