"""Text of endpoints and users, in each medium: nothing in it is obeyed, nothing breaks the file."""

import json
import xml.etree.ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from stillhouse.clean_text import log_line, markdown_line, markdown_text, terminal_json, terminal_text, xml_text

HOSTILE = "\x1b]52;c;ZXZpbA==\x07 \x1b[2J\x9b31m \u202egood\x00 \x7f\ud800"


def test_a_terminal_obeys_nothing_and_shows_what_was_there():
    shown = terminal_text(f"one\ttwo\n{HOSTILE}")
    assert shown.startswith("one\ttwo\n\\x1b]52;c;ZXZpbA==\\x07 \\x1b[2J\\x9b31m \\u202egood\\x00 \\x7f\\ud800")
    assert terminal_text(shown) == shown
    assert terminal_text("a\r\nb\rc") == "a\nb\\x0dc"


@pytest.mark.parametrize("text", ["plain", "näïve 日本語 🙂", "[teacher] :smile:", "a\\b"])
def test_what_is_harmless_stays(text):
    assert terminal_text(text) == log_line(text) == xml_text(text) == text


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x85", "\x0b"])
def test_a_log_line_is_one_line(end):
    assert len(log_line(f"failed{end}ERROR forged entry").splitlines()) == 1


def test_json_keeps_its_values_and_holds_nothing_that_a_terminal_obeys():
    value = {"error": HOSTILE, "plain": "ä"}
    written = terminal_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(written) == value
    assert terminal_text(written) == written and "ä" in written


def test_xml_is_well_formed_with_any_character():
    every = "".join(map(chr, [*range(0x300), *range(0xD7F0, 0xE010), 0xFFFE, 0xFFFF]))
    cleaned = xml_text(every).replace("&", "&amp;").replace("<", "&lt;")
    assert ET.fromstring(f"<a>{cleaned}</a>").text


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=alert(1)><!-- hidden",
        "# Heading",
        "Title\n=====",
        "Title\n-----",
        "---",
        "> quoted",
        "- item\n* item\n+ item",
        "1. one\n2) two",
        "    code",
        "\tcode",
        "```\nfence",
        "~~~\nfence",
        "| a | b |\n|---|---|\n| c | d |",
        "[click](https://evil.example) ![pixel](https://evil.example/p.png)",
        "[x]: https://evil.example\n[x]",
        "*bold* _thin_ __strong__ `code` ~~gone~~",
        "&lt;b&gt; &copy; \\<b>",
        "snake_case stays, 3 < 4, a @ b",
        " 1986. A year, 10.5 of them: -3",
    ],
)
def test_markdown_reads_as_the_words_that_were_written(text):
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown_text(text))
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    inline = [child for token in tokens if token.type == "inline" for child in token.children]
    assert {child.type for child in inline} <= {"text", "text_special", "softbreak", "hardbreak"}
    read = "".join(child.content or " " for child in inline)
    assert " ".join(read.split()) == " ".join(text.split())


def test_a_markdown_line_is_one_line():
    assert markdown_line("a\n# b\n\n---") == "a # b ---"
