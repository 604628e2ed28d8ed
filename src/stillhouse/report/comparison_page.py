"""The result of `stillhouse compare` as one self-contained HTML file."""

from stillhouse import __version__
from stillhouse.report.comparison_plot import comparison_drawing
from stillhouse.report.comparison_terminal import shown_check
from stillhouse.report.html import templates
from stillhouse.results.comparison import ComparisonResult


def render_comparison(result: ComparisonResult) -> str:
    """The page."""
    return (
        templates()
        .get_template("comparison.html.j2")
        .render(
            w=result.comparison,
            facts=result.facts,
            drawing=comparison_drawing(result.comparison),
            shown_check=shown_check,
            version=__version__,
        )
    )
