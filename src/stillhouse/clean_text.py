"""Text from outside (users, files, models, endpoints), made fit for the medium that it is shown in.

One function for each medium: a terminal, one line of a log, JSON on a terminal, HTML, SVG and XML, and Markdown. What
is harmless is left as it is. What is not is shown as an escape such as `\\x1b`, never dropped: a reader sees that
something was there.
"""

import re

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they change the order in which text is read
_TERMINAL = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}\ud800-\udfff]")
_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{_BIDI}\ud800-\udfff]")
_JSON = re.compile(f"[\x7f-\x9f\u2028\u2029{_BIDI}\ud800-\udfff]")
# XML 1.0, production 2: what is no Char. C1 controls are allowed there, and shown all the same: browsers differ.
_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_MARKDOWN = re.compile(r"[\\`*\[\]|~$<&]|(?<![^\W_])_|_(?![^\W_])")
_MARKDOWN_START = re.compile(r"^([ ]*)(\d{0,9})((?<=\d)[.)]|(?<!\d)[#>+=:-]|(?=\S))", re.MULTILINE)
_ENTITIES = {"<": "&lt;", "&": "&amp;"}


def terminal_text(text: str) -> str:
    """For a terminal: line breaks and tabs stay, every other control character and bidi override is shown."""
    return _TERMINAL.sub(_shown, text.replace("\r\n", "\n"))


def log_line(text: str) -> str:
    """One line of a log: no text can begin a second line that looks like an entry of its own."""
    return _LINE.sub(_shown, text)


def terminal_json(written: str) -> str:
    """JSON that may end on a terminal: the same values, with what a terminal could obey as JSON's own escapes."""
    return _JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def xml_text(text: str) -> str:
    """For HTML, SVG and XML, before `<` and `&` are escaped: no character that makes the file ill-formed."""
    return _XML.sub(_shown, text)


def markdown_text(text: str) -> str:
    """For a Markdown file: words that are read as they stand, with no tag, link, picture, heading, table or list."""
    escaped = _MARKDOWN.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), terminal_text(text))
    return _MARKDOWN_START.sub(_start_escaped, escaped.replace("\t", " "))


def markdown_line(text: str) -> str:
    """`markdown_text` on one line, for a heading or an item of a list."""
    return markdown_text(" ".join(text.split()))


def _start_escaped(found: re.Match[str]) -> str:
    """A line must not begin as a heading, a quotation, a list, a rule or (four spaces) a block of code."""
    indent, number, mark = found.groups()
    return f"{indent[:3]}{number}\\{mark}" if mark else f"{indent[:3]}{number}"


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
