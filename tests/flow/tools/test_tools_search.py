"""Search over local documents by BM25, and over whatever a provider searches."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.errors import UserError
from stillhouse.flow.tools import ToolError, search
from stillhouse.flow.tools.html_text import html_text
from stillhouse.flow.tools.search import PASSAGE_CHARS, Hit, LocalDocuments, passages

POLICIES = {
    "returns.md": "# Returns\n\nYou can return a kettle within 30 days.\n\nRefunds take a week.",
    "shipping.md": "Shipping to Évora and Porto is free over 50 euros.",
    "lamps.md": "A lamp has a warranty of two years.",
}


async def find(source, query, **options):
    return await search(source, **options).call({"query": query})


async def test_the_passages_that_fit_best_come_first_under_their_documents_names():
    assert await find(POLICIES, "How long does a refund take?", top=1) == f"[1] returns.md\n{POLICIES['returns.md']}"
    assert (
        await find(POLICIES, "lamp kettle warranty")
        == f"[1] lamps.md\n{POLICIES['lamps.md']}\n\n[2] returns.md\n{POLICIES['returns.md']}"
    )


async def test_case_accents_and_endings_do_not_matter():
    for query in ("EVORA", "évora", "ship", "shipped to porto"):
        assert (await find(POLICIES, query)).startswith("[1] shipping.md\n")


async def test_nothing_found_is_said():
    assert await find(POLICIES, "quantum") == "nothing was found; try other words"


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "kettle OR",
        'NEAR(kettle "lamp")',
        "document: kettle",
        "text : kettle*",
        "-kettle",
        "^kettle",
        "kettle AND NOT",
        "(kettle",
        "{a b} : kettle",
        "kettle'; DROP TABLE passages --",
    ],
)
async def test_a_query_is_words_and_never_syntax(query):
    local = LocalDocuments(POLICIES)
    try:
        found = await local.search(query, 5)
    except ToolError:
        assert query == '"'
    else:
        assert "returns.md" in [hit.document for hit in found]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_any_query_has_hits_or_a_reason(query):
    async def one():
        try:
            await search(POLICIES).call({"query": query})
        except ToolError as error:
            assert "query" in str(error)

    asyncio.run(one())


async def test_a_query_without_a_word_is_refused():
    with pytest.raises(ToolError) as found:
        await find(POLICIES, "?! --")
    assert str(found.value) == "the query '?! --' has no word in it; give the words to look for"


async def test_a_huge_query_is_taken_by_its_first_words():
    assert (await find(POLICIES, "kettle " + " ".join(f"word{n}" for n in range(100_000)))).startswith("[1] returns.md")


async def test_a_folder_is_read_with_its_subfolders(tmp_path):
    (tmp_path / "faq").mkdir()
    (tmp_path / "faq" / "ship.html").write_text("<title>Shipping</title><script>kettle()</script><p>Free &amp; fast.")
    (tmp_path / "returns.md").write_text("Return a kettle.")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "kettle.md").write_text("kettle")
    (tmp_path / "kettle.png").write_bytes(b"\x89PNG\xff")
    assert await find(tmp_path, "kettle shipping") in (
        "[1] faq/ship.html\nShipping\n\nFree & fast.\n\n[2] returns.md\nReturn a kettle.",
        "[1] returns.md\nReturn a kettle.\n\n[2] faq/ship.html\nShipping\n\nFree & fast.",
    )


def test_what_cannot_be_searched_is_the_users_mistake(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin").mkdir()
    (tmp_path / "latin" / "a.txt").write_bytes("Évora".encode("latin-1"))
    for source, sentence in [
        (
            tmp_path / "none",
            f"{tmp_path / 'none'}: no such folder to search; name one, or give the documents as a mapping from names to texts",
        ),
        (
            tmp_path / "empty",
            f"{tmp_path / 'empty'} holds no document to search; it reads .md, .txt, .rst, .html, .htm files",
        ),
        (
            tmp_path / "latin",
            f"{tmp_path / 'latin' / 'a.txt'} is not UTF-8 text; save it as UTF-8, or give it another ending than .txt",
        ),
        ({"a": "  "}, "search was given no document with text in it; give it at least one"),
    ]:
        with pytest.raises(UserError) as found:
            search(source)
        assert str(found.value) == sentence
    with pytest.raises(UserError, match="top = 0"):
        search(POLICIES, top=0)


def test_passages_are_whole_paragraphs_of_bounded_length():
    text = "\n\n".join(f"paragraph {n} " + "word " * 60 for n in range(20)) + "\n\n" + "x" * 3000
    found = list(passages(text))
    assert all(0 < len(passage) <= PASSAGE_CHARS for passage in found)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert found[0].startswith("paragraph 0 ")


class Web:
    """A provider that searches elsewhere."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    async def search(self, query: str, top: int) -> Sequence[Hit]:
        self.asked.append((query, top))
        if query == "down":
            raise ConnectionError("503")
        return [Hit("https://example.com/a", "About kettles.")]


async def test_a_provider_stands_in_the_same_place():
    web = Web()
    assert await find(web, "kettles", top=3) == "[1] https://example.com/a\nAbout kettles."
    assert web.asked == [("kettles", 3)]
    with pytest.raises(ToolError, match=r"^search failed \(ConnectionError: 503\)$"):
        await find(web, "down")


async def test_many_queries_at_once():
    called = search(POLICIES)
    found = await asyncio.gather(*(called.call({"query": query}) for query in ["kettle", "lamp", "porto"] * 20))
    assert [text.splitlines()[0] for text in found] == ["[1] returns.md", "[1] lamps.md", "[1] shipping.md"] * 20


def test_the_text_of_a_page_is_what_a_reader_sees():
    page = """<!doctype html><html><head><title>The  shop</title><style>p { color: red }</style><script>if (a < b) alert("x")</script></head>
    <body class="[&>p]:red" data-x='a > b'><!-- <p>hidden --><h1>Kettles &amp; lamps</h1>
    <p>Two<br>lines,   <b>one</b> word<sup>1</sup></p><ul><li>first<li>second</ul>
    <table><tr><td>a</td><td>1</td></tr><tr><td>b<td>2</table><template>hidden</template><noscript>hidden</noscript></body></html>"""
    assert html_text(page) == "The shop\n\nKettles & lamps\n\nTwo\nlines, one word1\n\nfirst\nsecond\n\na\t1\n\nb\t2"


@pytest.mark.parametrize(
    ("page", "text"),
    [("", ""), ("<", "<"), ("1 < 2 <3", "1 < 2 <3"), ("a<p", "a"), ("a<!--", "a"), ("a<script>b", "a"), ("a</script>b</p", "ab"),
     ("<head>a", "a"), ("<title>a", "a"),
     ("&#xFFFFFFFF;&amp", "\ufffd&"), ("a<p title='b>c", "a\nc")],
)  # fmt: skip
def test_broken_pages_have_some_text_or_none(page, text):
    assert html_text(page) == text


@pytest.mark.parametrize(
    "piece",
    ["<", "<a ", "<a x='", '<a x="', "<!--", "<svg>", "</", "&", "<a =", "\t", "<a x='>", "<title>", "<p\n", "&#1"],
)
def test_pages_made_to_keep_a_parser_busy_do_not(piece):
    html_text(piece * (200_000 // len(piece)))
