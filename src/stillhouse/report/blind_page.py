"""The page on which two answers are judged blind, as text for `serving.blind`. It knows no system's name."""

from stillhouse.report.html import templates


def blind_page(nonce: str) -> str:
    """The HTML. Its own script and style carry `nonce`, and the browser runs nothing without it."""
    return templates().get_template("blind.html.j2").render(nonce=nonce)
