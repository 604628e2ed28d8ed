"""The trace as a tree, its sums, and its folding, on rows whose times can be checked by hand."""

import trace_samples
from stillhouse.flow.trace import Fork, Group, Loop, Used, busy_s, failing, folded, percentile, totals, trace, used
from trace_samples import T0, asked, row, run


def told(parts):
    """The shape of folded parts in short: a×3 is a group of three, 2*(a b) a loop of two, 3@2 three of which two ran at once, [a | b] branches."""

    def one(part):
        if isinstance(part, Group):
            at_once = f"@{part.at_once}" if part.at_once > 1 else ""
            return part.first.name if len(part.calls) == 1 else f"{part.first.name}×{len(part.calls)}{at_once}"
        if isinstance(part, Loop):
            return f"{part.times}{f'@{part.at_once}' if part.at_once > 1 else ''}*({told(part.body)})"
        assert isinstance(part, Fork)
        return f"[{' | '.join(told(branch) for branch in part.branches)}]"

    return " ".join(map(one, parts))


def shape(*calls):
    """`calls` as (step, start, seconds)."""
    return told(folded(trace(run(), [row(*call) for call in calls]).roots))


def one_after_another(names):
    return [(name, start, 0.9) for start, name in enumerate(names.split())]


def test_children_stand_under_their_parent():
    found = trace_samples.failed()
    assert [node.name for node in found.roots] == ["route", "to_sql", "shop", "mend_sql", "shop", "deliver"]
    assert [node.name for node in found.roots[-1].children] == ["smtp"]
    assert [node.name for node in found.walk()][-2:] == ["deliver", "smtp"]


def test_a_call_whose_process_died_stands_there_unfinished_with_what_ended_in_it():
    found = trace_samples.killed()
    assert [(node.name, node.state) for node in found.roots] == [("draft", "done"), ("deliver", "unfinished")]
    lost = found.roots[1]
    assert [child.name for child in lost.children] == ["stamp", "smtp"]
    assert (lost.row.started, lost.row.seconds) == (T0 + 1, 1.0)


def test_sums_add_up_and_an_unknown_part_makes_the_sum_unknown():
    known = row("a", 0, 1, **asked(10, 2, 0.25))
    free = row("b", 1, 1)
    unknown = row("c", 2, 1, **asked(None, 3, None))
    assert used([known, known, free]) == Used(2, 20, 4, 0.5)
    assert used([known, unknown]) == Used(2, None, 5, None)
    assert used([free]) == Used(0, 0, 0, 0.0)


def test_totals_per_step_have_nearest_rank_percentiles_over_the_calls_that_ended():
    rows = [row("a", start, seconds) for start, seconds in enumerate((0.4, 0.1, 0.3, 0.2))] + [
        row("a", 9, 1.0, error="E: no", attempts=3)
    ]
    [total] = totals(rows)
    assert (total.calls, total.failed, total.retried, total.p50_s, total.p99_s) == (5, 1, 1, 0.3, 1.0)
    assert total.seconds == sum((0.4, 0.1, 0.3, 0.2, 1.0))
    assert percentile([], 0.5) is None
    assert percentile([1, 2, 3, 4], 0.5) == 2


def test_pauses_between_sittings_are_not_work():
    assert busy_s(trace_samples.waiting().rows) == 2.0
    assert busy_s([row("a", 0, 10), row("b", 2, 3), row("c", 9, 4)]) == 13.0


def test_the_failing_call_is_the_innermost_with_the_runs_own_error():
    assert failing(trace_samples.failed()).name == "smtp"
    assert failing(trace_samples.letter()) is None


def test_of_a_group_of_errors_the_failing_call_is_the_last_that_failed():
    rows = [
        row("shop", 0, 1, error="ToolError: mended later"),
        row("a", 1, 1, error="A: one"),
        row("b", 1, 2, error="B: two"),
    ]
    assert failing(trace(run("failed", error="ExceptionGroup: 2 sub-exceptions"), rows)).name == "b"


def test_open_questions_are_told():
    assert trace_samples.waiting().questions == [f"Send this? {trace_samples.EVIL}"]
    assert trace_samples.letter().questions == []


def test_a_sequence_is_told_as_it_is():
    assert shape(*one_after_another("a b c")) == "a b c"


def test_equal_calls_in_a_row_are_one_group():
    assert shape(*one_after_another("a b b b c")) == "a b×3 c"


def test_a_repeated_sequence_is_a_loop_also_when_its_last_turn_ended_early():
    assert shape(*one_after_another("a b a b a b c")) == "3*(a×3 b×3) c"
    assert shape(*one_after_another("a b a b a c")) == "3*(a×3 b×2) c"


def test_a_loop_in_a_loop_is_a_part_of_it():
    assert shape(*one_after_another("a b b c a b b b c")) == "2*(a×2 b×5 c×2)"


def test_overlapping_calls_are_branches_and_each_goes_on_with_its_own():
    assert (
        shape(("to_sql", 0, 1), ("pages", 0.1, 3), ("shop", 1.0001, 1), ("mend", 2.0002, 0.5), ("answer", 4, 1))
        == "[to_sql shop mend | pages] answer"
    )


def test_a_fan_out_is_one_group_with_how_many_ran_at_once():
    assert shape(*[("price", number // 4, 1) for number in range(20)]) == "price×20@4"


def test_calls_shorter_than_the_clocks_can_tell_are_not_said_to_have_run_at_once():
    assert shape(*(("a", number * 4e-5, 2e-6) for number in range(5))) == "a×5"


def test_a_fan_out_of_several_steps_is_a_loop_with_turns_at_once():
    begins = [number // 3 * 2.2 + number % 3 / 100 for number in range(6)]
    calls = [*(("a", begin, 1) for begin in begins), *(("b", begin + 1.0001, 1) for begin in begins)]
    assert shape(*sorted(calls, key=lambda call: call[1])) == "6@3*(a×6@3 b×6@3)"


def test_a_fan_out_with_odd_turns_is_still_one():
    lanes = (
        [("a", 0, 1), ("b", 1, 1)],
        [("a", 0.1, 1), ("b", 1.1, 1), ("b", 2.1, 1)],
        [("a", 0.2, 1), ("b", 1.2, 0.5), ("a", 1.7, 1)],
    )
    assert shape(*sorted((call for lane in lanes for call in lane), key=lambda call: call[1])) == "4@3*(a×4@3 b×4@3)"


def test_two_unlike_branches_stay_two():
    assert shape(("a", 0, 2), ("b", 0.1, 1)) == "[a | b]"


def test_many_different_branches_are_told_step_by_step():
    calls = [(f"s{number}", number / 100, 2) for number in range(8)]
    assert shape(*calls) == f"[{' | '.join(f's{number}' for number in range(8))}]"


def test_the_sample_with_everything():
    shape_of = told(folded(trace_samples.letter().roots))
    assert shape_of == "6@2*(category×6@2 stock×6@2) decide [adder | category] 5*(improve×5 until×5) ask_human"


def test_ten_thousand_calls_fold_into_one_loop():
    found = trace(run(), [row("ab"[number % 2], number, 0.9) for number in range(10_000)])
    assert told(folded(found.roots)) == "5000*(a×5000 b×5000)"
