"""The page on which two answers are judged blind, as text for `serving.blind`. It names no system, and has no way to ask for one."""

from stillhouse.report.page import templates


def blind_page(nonce: str) -> str:
    """The HTML; `nonce` goes on its own script and style, and nothing else may run."""
    return templates().get_template("blind.html.j2").render(nonce=nonce)
