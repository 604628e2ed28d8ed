"""The picture of a data advantage, as SVG and as characters."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from stillhouse.report.advantage import AdvantagePicture, DrawnCurve, advantage_plot, text_plot
from stillhouse.report.html import standalone

SVG = "{http://www.w3.org/2000/svg}"


def curve(name, scores):
    sizes = (16, 32, 64)
    fitted = tuple((n, score, score - 0.02, score + 0.02) for n, score in zip(sizes, scores, strict=True))
    return DrawnCurve(
        name, tuple((n, score) for n, score, *_ in fitted), fitted, tuple((float(n), score) for n, score, *_ in fitted)
    )


CURVES = curve("a", (0.5, 0.6, 0.65)), curve("b", (0.4, 0.6, 0.7))
PICTURE = AdvantagePicture(
    title="a against b",
    curves=CURVES,
    window=(0.5, 0.65),
    between=((0.5, 16.0, 24.0), (0.65, 64.0, 45.0)),
    n_star=32.0,
    n_low=20.0,
)


def words(picture):
    return [element.text for element in ET.fromstring(standalone(advantage_plot(picture))).iter(f"{SVG}text")]


def test_the_crossover_is_marked_and_a_picture_without_one_is_whole():
    assert "n* = 32" in words(PICTURE)
    assert not any(word.startswith("n*") for word in words(replace(PICTURE, n_star=None)))


def test_a_picture_of_its_own_brings_a_rule_for_every_class_that_it_uses():
    drawn = standalone(advantage_plot(PICTURE))
    used = {name for names in re.findall(r" class='([^']+)'", drawn) for name in names.split()} - {"plot"}
    style = drawn[drawn.index("<style>") : drawn.index("</style>")]
    assert {name for name in used if f".{name} " not in style and f".{name}," not in style} == set()
    assert "prefers-color-scheme: dark" in style


def test_names_from_a_file_are_words_and_never_markup():
    evil = "<script>alert('&')</script>"
    root = ET.fromstring(
        standalone(
            advantage_plot(replace(PICTURE, title=evil, curves=(curve(evil, (0.5, 0.6, 0.7)), PICTURE.curves[1])))
        )
    )
    assert not list(root.iter(f"{SVG}script"))


@pytest.mark.parametrize("scores", [(0.5, 0.6, 0.7), (0.5, 0.5, 0.5)])
def test_the_plot_in_characters_fits_a_terminal(scores):
    lines = text_plot([curve("a", scores).path, curve("b", (0.4, 0.6, 0.7)).path]).splitlines()
    assert max(map(len, lines)) <= 80
    assert "●" in "".join(lines) and "○" in "".join(lines)
    assert lines[-2].split() == ["16", "64"]
