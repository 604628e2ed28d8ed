"""The path of a run, and what it is expected to be: which steps, which branch, how often.

An expected path is a list or an object.
- A list is exact: every call in the order in which it began, as `"route"`, or as `"route=sql"` with what it answered.
- An object counts: `{"route=sql": 1, "to_sql": {">=": 1, "<=": 3}, "search": 0}`. Steps that it does not name may be
  called as often as they like. So it also fits concurrent branches, which begin in no fixed order.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from stillhouse.errors import UserError
from stillhouse.store.journal import StepRow

ExpectedPath: TypeAlias = Sequence[str] | Mapping[str, int | Mapping[str, int]]
# Kinds of calls left out of a path: the clock and its like; an agent's turns, whose tools are on the path; flows in
# the flow, whose calls are.
OFF_THE_PATH = ("value", "turn", "flow")
# Most characters of a branch's name; longer answers name no branch and are left out where a path is shown.
ONE_WORD = 40


def path_of(calls: Sequence[StepRow]) -> list[str]:
    """The calls in the order in which they began, each as `step` or `step=answer`.

    The answer is shown where it is one word, number or choice.
    """
    return [_shown(call) for call in on_the_path(calls)]


def on_the_path(calls: Sequence[StepRow]) -> list[StepRow]:
    """The calls that a path counts."""
    return [call for call in calls if call.kind not in OFF_THE_PATH and "refused" not in (call.facts or ())]


def _shown(call: StepRow) -> str:
    answer = _as_text(call)
    return call.key[0] if answer is None or not is_one_word(answer) else f"{call.key[0]}={answer}"


def _as_text(call: StepRow) -> str | None:
    """A call's answer as a path writes it; None where it is no text, number or truth value."""
    answer = answer_of(call)
    return answer if isinstance(answer, str) else json.dumps(answer) if isinstance(answer, bool | int) else None


def answer_of(call: StepRow) -> Any:
    """What the call answered, as JSON gives it; of a decision the option; None where it failed."""
    if call.output is None:
        return None
    answer = json.loads(call.output)
    return answer.get("option") if call.kind == "decide" and isinstance(answer, dict) else answer


def as_branch(answer: Any) -> str | None:
    """An answer as the name of the way that it takes; None where it is neither a text nor a truth value."""
    return answer if isinstance(answer, str) else json.dumps(answer) if isinstance(answer, bool) else None


def is_one_word(answer: str) -> bool:
    """Whether a text may be the name of a branch: one word, and not a long one."""
    return 0 < len(answer) <= ONE_WORD and not any(map(str.isspace, answer))


def check_path(expected: Any) -> ExpectedPath:
    """The expected path if it is one. Raises UserError."""
    if _is_list(expected) or _is_counts(expected):
        return expected  # type: ignore[no-any-return]  # checked by the two calls above
    raise UserError(
        f'{expected!r:.200} is no path; give a list of steps, as in ["route=sql", "to_sql"], '
        'or counts, as in {"to_sql": {">=": 1}}'
    )


def _is_list(expected: Any) -> bool:
    return isinstance(expected, list | tuple) and all(isinstance(move, str) and move for move in expected)


def _is_counts(expected: Any) -> bool:
    return isinstance(expected, Mapping) and all(
        isinstance(move, str) and move and _is_count(count) for move, count in expected.items()
    )


def _is_count(count: Any) -> bool:
    if isinstance(count, Mapping):
        return bool(count) and all(
            sign in (">=", "<=") and _is_count(bound) and not isinstance(bound, Mapping)
            for sign, bound in count.items()
        )
    return isinstance(count, int) and not isinstance(count, bool) and count >= 0


def path_problems(expected: ExpectedPath, calls: Sequence[StepRow]) -> list[str]:
    """How the run's path differs from the expected one; empty where it does not.

    Of a list only the first difference is told: the others follow from it.
    """
    made = on_the_path(calls)
    if isinstance(expected, Mapping):
        return [
            problem
            for move, count in expected.items()
            if (problem := _wrong_count(move, count, sum(_fits(move, call) for call in made)))
        ]
    for number, (wanted, call) in enumerate(zip(expected, made, strict=False), start=1):
        if not _fits(wanted, call):
            return [f"call {number} is {_shown(call)}, and {wanted} was expected"]
    if len(made) > len(expected):
        return [f"it goes on with {_shown(made[len(expected)])} where the expected path ends"]
    if len(made) < len(expected):
        return [f"it ends after {len(made)} calls, and {expected[len(made)]} was expected next"]
    return []


def _fits(wanted: str, call: StepRow) -> bool:
    name, equals, answer = wanted.partition("=")
    return call.key[0] == name and (not equals or _as_text(call) == answer)


def _wrong_count(move: str, count: int | Mapping[str, int], n_calls: int) -> str | None:
    bounds = {">=": count, "<=": count} if isinstance(count, int) else dict(count)
    if bounds.get(">=", 0) <= n_calls <= bounds.get("<=", n_calls):
        return None
    wanted = f"{count}" if isinstance(count, int) else " and ".join(f"{sign} {bound}" for sign, bound in bounds.items())
    return f"{move} was called {n_calls} {'time' if n_calls == 1 else 'times'}, and {wanted} was expected"
