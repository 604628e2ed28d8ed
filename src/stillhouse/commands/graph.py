"""`graph`: the picture of a flow as its source shows it, or of a run as it went."""

from pathlib import Path
from typing import Literal

from stillhouse.commands.run_ids import run_called
from stillhouse.commands.runs import read_trace
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.flow.picture import Picture
from stillhouse.flow.picture.executed import executed
from stillhouse.flow.picture.mermaid import mermaid
from stillhouse.flow.picture.source import source_picture
from stillhouse.flow.user_flow import load_flow
from stillhouse.report.flow_graph import WIDE, flow_svg, words

Format = Literal["mermaid", "svg"]


def graph(target: str, *, format: Format = "mermaid", store: Path | str = DEFAULT_STORE, width: int = WIDE) -> str:
    """The picture of `APP:FLOW` or of a run's id, as Mermaid text or as SVG drawn for `width` pixels.

    Raises UserError where there is no such flow, journal or run.
    """
    drawn = picture(target, store)
    return flow_svg(drawn, width) if format == "svg" else mermaid(drawn, words)


def picture(target: str, store: Path | str = DEFAULT_STORE) -> Picture:
    """A run's id cannot hold a colon, and a flow is named with one."""
    return (
        source_picture(load_flow(target)) if ":" in target else executed(read_trace(run_called(target, store), store))
    )
