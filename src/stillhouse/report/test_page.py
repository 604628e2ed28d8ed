"""A flow's test as one self-contained HTML file.

Did it pass, each part's score, the paths, why wholes are wrong, the composability gap, every wrong case.
"""

from collections.abc import Sequence

from markupsafe import Markup

from stillhouse import __version__, numbers
from stillhouse.report.html import templates
from stillhouse.report.plots import interval_bar
from stillhouse.report.trace_words import plural, short
from stillhouse.results.flow_test import CAUSES, FlowResult, PartResult

MOST = 200  # wrong cases of one part that the page shows; the result's file has them all
_ANSWERS = {"pass": "pass", "fail": "fail", "cannot tell": "open"}


def render_test(tested: FlowResult) -> str:
    """The page."""
    low, high = _scale(tested.parts)
    return (
        templates()
        .get_template("test.html.j2")
        .render(
            tested=tested,
            whole=tested.whole,
            headline=_headline(tested),
            against={against.name: against for against in tested.against},
            wrong_paths=[path for path in tested.paths if path.problems],
            causes=[(CAUSES[cause], at, n) for (cause, at), n in tested.causes.most_common() if cause is not None],
            why_no_suspect=_why_no_suspect(tested),
            bar=lambda part: interval_bar(part.score, low, high, "ink") if part.score else Markup(""),
            answer_class=_ANSWERS,
            outcome_class={"passed": "pass", "failed": "fail", "cannot tell": "open"},
            most=MOST,
            plural=plural,
            short=short,
            interval=numbers.interval,
            points=numbers.points,
            version=__version__,
        )
    )


def _headline(tested: FlowResult) -> str:
    whole = tested.whole
    if tested.missing:
        calls = plural(len(tested.missing), "call")
        return f"{calls} of {tested.flow} had no stored answer, so not all of it was tested."
    if whole is not None and whole.score is not None:
        return f"{tested.flow} answers {numbers.described(whole.score)} of its cases rightly."
    n, wrong = sum(len(part.rows) for part in tested.parts), sum(len(part.wrong) for part in tested.parts)
    cases = f"{plural(wrong, 'case')} of {n} in the steps of {tested.flow}"
    return f"{cases} {'is' if wrong == 1 else 'are'} wrong; no whole answer was tested."


def _scale(parts: Sequence[PartResult]) -> tuple[float, float]:
    """The common scale of the table's interval bars."""
    lows = [part.score.value if part.score.low is None else part.score.low for part in parts if part.score is not None]
    return min([*lows, 0.9]), 1.0


def _why_no_suspect(tested: FlowResult) -> str:
    """Why no pair of steps can be named as what the gap comes from."""
    pairs = tested.gap.pairs if tested.gap is not None else ()
    return "every run has the same steps" if all(pair.p is None for pair in pairs) else "the runs are too few"
