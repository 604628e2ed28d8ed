"""Pictures of source and of runs: their structure, Mermaid and SVG."""

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import picture_app
import pytest

import trace_samples
from stillhouse.flow.picture import Branch, BranchArm, CallBox, Enclosure, End, Lanes, Picture
from stillhouse.flow.picture.executed import executed
from stillhouse.flow.picture.mermaid import mermaid
from stillhouse.flow.picture.source import source_picture
from stillhouse.flow.trace import trace
from stillhouse.report.flow_graph import NARROW, WIDE, facts, flow_graph, flow_svg, words
from trace_samples import row, run

SAMPLES = ("letter", "failed", "waiting", "killed", "empty", "stress")
FLOWS = ("sequence", "parallel", "branches", "loops", "everything", "recursive", "nothing")
GOLD = Path(__file__).parent / "gold"


def expect_gold(name, text):
    path = GOLD / name
    if os.environ.get("STILLHOUSE_WRITE_GOLD"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), (
        f"{path} differs; look at it, then set STILLHOUSE_WRITE_GOLD=1 to accept"
    )


def told(parts):
    """Parts in short: name, name{body}, <title: body>, [lane | lane], (label: arm / label: arm), .word."""

    def one(part):
        match part:
            case CallBox():
                return f"{part.name}{{{told(part.inside)}}}" if part.inside else part.name
            case Enclosure():
                return f"<{part.title}: {told(part.body)}>"
            case Lanes():
                return f"[{' | '.join(told(lane) for lane in part.lanes)}]"
            case Branch():
                return f"({' / '.join(f'{arm.label}: {told(arm.body)}'.rstrip() for arm in part.arms)})"
            case End():
                return f".{part.word}"

    return " ".join(map(one, parts))


def source(name):
    return told(source_picture(getattr(picture_app, name)).parts)


def test_a_sequence_holds_the_flows_own_calls_alone_in_the_order_of_python():
    assert source("sequence") == "kind kind price"
    assert source_picture(picture_app.sequence).lines == ("One after the other.",)


def test_parallel_calls_are_lanes_and_fan_outs_are_frames():
    pair = "pair{price price}"
    assert source("parallel") == (
        f"[price | {pair}] <for item in items, at once: price> <for item in items, at once: {pair}> <map over items, 8 at once: price> "
        "[price | kind] <for item in items, at once: price> [price | kind]"
    )


def test_after_a_branch_that_returns_the_rest_belongs_to_the_other_arms():
    late = "(case _: .raise / case 'a' | 'b': pair{price price} (found: kind / else: kind))"
    assert source("branches") == f"kind (found == 'a': kind / else: (found == 'b': price / else:) {late})"


def test_loops_are_frames_and_the_condition_is_part_of_them():
    assert source("loops") == (
        "<for item in items: price> <while decide == 'yes': decide (not items: .break / else: price)> "
        "<until yes, at most 5: price judge> <for item in items: price>"
    )


def test_decisions_limits_agents_tools_helpers_flows_and_people_are_there():
    tried = "<for _ in range(3): price (no error: .return / on ValueError: pair{price price})> price"
    arithmetic = "decide (decide == 'yes': <limits: steps=30, dollars=0.1: adder> / else:)"
    assert source("everything") == f"{arithmetic} mine add {tried} sequence{{kind kind price}} ask_human"
    boxes = {part.name: part for part in source_picture(picture_app.everything).parts if isinstance(part, CallBox)}
    assert {name: box.kind for name, box in boxes.items()} == {
        **{
            "decide": "decide",
            "mine": "agent",
            "add": "tool",
            "price": "step",
            "sequence": "flow",
            "ask_human": "human",
        }
    }
    assert boxes["decide"].notes == ("Does it need arithmetic?", "→ yes | no")
    assert boxes["ask_human"].notes == ("Send {item}?",)


def test_a_function_that_calls_itself_is_drawn_once():
    assert source("recursive") == "price endless"


def test_a_flow_that_calls_nothing_has_no_parts():
    assert source("nothing") == ""


def test_of_a_run_branches_loops_and_counts_are_drawn():
    picture = executed(trace_samples.letter())
    assert told(picture.parts) == (
        "<6 times, up to 2 at once: category stock> decide [adder{<2 turns: adder.turn add>} | category] <5 times: improve until> ask_human"
    )
    fan_out, decided, *_ = picture.parts
    category, stock = fan_out.body
    assert (category.ran.calls, category.ran.used.input_tokens, round(category.ran.used.cost_usd, 6)) == (
        6,
        240,
        0.0006,
    )
    assert category.notes == (trace_samples.GPT, "→ lighting × 5", "→ kitchen × 1")
    assert (stock.ran.calls, stock.ran.at_once, stock.ran.p50_s) == (6, 2, 0.25)
    assert decided.notes == (trace_samples.GPT, "→ yes, 93% sure")


def test_an_agents_box_holds_what_its_turns_used():
    agent = executed(trace_samples.letter()).parts[2].lanes[0][0]
    assert (agent.ran.used.input_tokens, agent.ran.used.output_tokens) == (210, 20)


def test_the_failing_step_is_marked_down_to_where_it_came_from_and_a_handled_failure_is_another_thing():
    *_, deliver, end = executed(trace_samples.failed()).parts
    assert (deliver.ran.outcome, deliver.ran.error) == ("failed", None)
    assert deliver.inside[0].ran.outcome == "failed"
    assert deliver.inside[0].ran.error.startswith("ConnectionError")
    assert end == End("failed")
    shop = next(part for part in executed(trace_samples.failed()).parts if part.name == "shop")
    assert (shop.ran.outcome, shop.ran.error) == ("handled", "ToolError: no such column: totl")


def test_one_failed_call_of_many_is_counted():
    rows = [row("price", number, 0.5) for number in range(9)] + [row("price", 9, 0.5, error="E: no")]
    box = executed(trace(run("failed", error="E: no"), rows)).parts[0]
    assert "1 of 10 failed" in facts(box)


def test_unknown_tokens_and_costs_are_said():
    box = executed(trace_samples.stress()).parts[3]
    assert "tokens unknown, cost unknown" in facts(box)


# Mermaid


def test_mermaid_of_source_is_what_was_agreed():
    expect_gold("source.mmd", mermaid(source_picture(picture_app.branches)))


def test_mermaid_of_a_run_is_what_was_agreed():
    expect_gold("run.mmd", mermaid(executed(trace_samples.failed()), words))


def test_mermaid_names_nodes_before_arrows_so_that_frames_hold_only_their_own():
    text = mermaid(executed(trace_samples.letter()), words)
    assert max(
        place for place, line in enumerate(text.splitlines()) if line.strip() == "end"
    ) < text.splitlines().index(next(line for line in text.splitlines() if "-->" in line))


@pytest.mark.parametrize("name", SAMPLES)
def test_no_words_of_a_run_become_markup_or_end_a_label_in_mermaid(name):
    text = mermaid(executed(getattr(trace_samples, name)()), words)
    assert "<script" not in text
    for label in re.findall(r'"(.*)"', text):
        assert '"' not in label.replace('"]', "")
        assert "<" not in label.replace("<br/>", "")
    opened = sum(line.strip().startswith("subgraph") for line in text.splitlines())
    assert opened == sum(line.strip() == "end" for line in text.splitlines())


# SVG


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("name", [*SAMPLES, *FLOWS])
def test_every_drawing_is_valid_xml_and_no_wider_than_asked(name, width):
    picture = source_picture(getattr(picture_app, name)) if name in FLOWS else executed(getattr(trace_samples, name)())
    root = ElementTree.fromstring(flow_svg(picture, width))
    assert float(root.get("width")) <= width
    assert not [one for one in root.iter() if one.tag.endswith("script")]
    wide, high = float(root.get("width")), float(root.get("height"))
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        left, top = float(box.get("x")), float(box.get("y"))
        assert left >= 0 and left + float(box.get("width")) <= wide + 0.1
        assert top >= 0 and top + float(box.get("height")) <= high + 0.1


def test_lanes_stand_side_by_side_where_there_is_room_and_are_stacked_where_not():
    picture = Picture("f", (Lanes(tuple((CallBox(f"step_number_{lane}", "step"),) for lane in range(4))),))
    assert "class='stack'" not in flow_graph(picture, WIDE)
    assert "class='stack'" in flow_graph(picture, NARROW)


def test_an_arm_that_leaves_is_not_joined_with_the_others():
    alone = Picture("f", (Branch((BranchArm("a", (End("return"),)), BranchArm("b", (End("raise"),)))),))
    assert "class='stop'" not in flow_graph(alone)
    assert "class='stop'" in flow_graph(Picture("f", (Branch((BranchArm("a", (End("return"),)), BranchArm("b"))),)))


def test_a_drawing_is_told_in_words_too():
    words = re.search(r"<desc[^>]*>(.*?)</desc>", flow_graph(executed(trace_samples.failed())))[1]
    assert "shop (handled)" in words and "deliver (failed)" in words


def test_a_branch_is_labelled_by_its_decisions_name():
    assert source("labelled") == "urgent (urgent == 'yes': price / else: decide (decide == 'yes': price / else:))"
