"""A picture as Mermaid text: what README files and wikis show as a flow chart without being given an image."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stillhouse.clean_text import xml_text
from stillhouse.flow.picture import Branch, BranchArm, CallBox, Enclosure, End, Lanes, Picture, PicturePart

Ends = list[tuple[str, str]]  # (the node where the next arrow starts, the words on the arrow)
_SHAPES = {
    "decide": ("{{", "}}"),
    "model": ("([", "])"),
    "tool": ("[/", "/]"),
    "human": ("[\\", "\\]"),
    "agent": ("[[", "]]"),
}
_CLASSES = (
    "classDef failed stroke:#b3261e,stroke-width:2px,color:#b3261e",
    "classDef waiting stroke:#7a6400,stroke-width:2px,stroke-dasharray:4 3",
    "classDef unfinished stroke-dasharray:4 3",
    "classDef mark stroke-width:0,fill:none",
)


def mermaid(picture: Picture, describe: Callable[[CallBox], Sequence[str]] = lambda box: box.notes) -> str:
    """The picture as a Mermaid flow chart. `describe` gives the lines below a box's name."""
    chart = _Chart(describe)
    start = chart.node("start", f'(("{_text(picture.title)}"))')
    last = chart.sequence(picture.parts, [(start, "")])
    end = chart.node("stop", '((" "))') if last else None
    if end is not None:
        chart.arrows(last, end)
    return "\n".join(["flowchart TD", *(f"    {line}" for line in (*chart.lines, *chart.joined, *_CLASSES))]) + "\n"


@dataclass
class _Chart:
    describe: Callable[[CallBox], Sequence[str]]
    lines: list[str] = field(default_factory=list)
    # The arrows come after all nodes: a node that is first named inside a subgraph would be drawn in it.
    joined: list[str] = field(default_factory=list)
    drawn: int = 0
    depth: int = 0

    def add(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def node(self, prefix: str, shape: str, class_: str = "") -> str:
        self.drawn += 1
        name = f"{prefix}{self.drawn}"
        self.add(f"{name}{shape}{f':::{class_}' if class_ else ''}")
        return name

    def arrows(self, starts: Ends, to: str) -> None:
        for start, label in dict.fromkeys(starts):
            self.joined.append(f'{start} -->|"{_text(label)}"| {to}' if label else f"{start} --> {to}")

    def sequence(self, parts: Sequence[PicturePart], starts: Ends) -> Ends:
        for part in parts:
            starts = self.part(part, starts)
        return starts

    def part(self, part: PicturePart, starts: Ends) -> Ends:
        match part:
            case CallBox():
                return self.box(part, starts)
            case Enclosure():
                return self.group(part.title, part.body, starts)
            case Lanes():
                met = self.met(starts)
                return [end for lane in part.lanes for end in self.sequence(lane, met)]
            case Branch():
                met = self.met(starts)
                return [end for arm in part.arms for end in self.arm(arm, met)]
            case End():
                self.arrows(starts, self.node("stop", f'["{_text(part.word)}"]', "mark"))
                return []

    def met(self, starts: Ends) -> Ends:
        """Several arrows joined at one point, before what forks again.

        Without the point an arrow would go from each start to each branch: a tangle.
        """
        if len(starts) < 2:
            return starts
        meet = self.node("meet", '((" "))')
        self.arrows(starts, meet)
        return [(meet, "")]

    def arm(self, arm: BranchArm, starts: Ends) -> Ends:
        labelled = [
            (start, f"{label}, {arm.label}" if label and label != "else" else arm.label) for start, label in starts
        ]
        return self.sequence(arm.body, labelled)

    def box(self, box: CallBox, starts: Ends) -> Ends:
        name = box.name if box.ran is None or box.ran.calls == 1 else f"{box.name} × {box.ran.calls}"
        lines = [name, *self.describe(box)]
        class_ = "" if box.ran is None or box.ran.outcome in ("done", "handled") else box.ran.outcome
        left, right = _SHAPES.get(box.kind, ("[", "]"))
        node = self.node("n", f'{left}"{"<br/>".join(map(_text, lines))}"{right}', class_)
        self.arrows(starts, node)
        if not box.inside:
            return [(node, "")]
        return self.group(f"in {box.name}", box.inside, [(node, "")])

    def group(self, title: str, body: Sequence[PicturePart], starts: Ends) -> Ends:
        self.drawn += 1
        self.add(f'subgraph g{self.drawn}["{_text(title)}"]')
        self.depth += 1
        last = self.sequence(body, starts)
        self.depth -= 1
        self.add("end")
        return last


def _text(words: str) -> str:
    """Words that cannot end the label, become markup or start Markdown.

    All but letters, digits and a few harmless signs are written as the character's number.
    """
    return re.sub(r"[^\w\s.,:+%()'/=|-]", lambda sign: f"#{ord(sign[0])};", xml_text(words).replace("\n", " "))
