"""Money that contradicts the scores: does the verdict take what brings something, and leave what does not? Scored in wrong verdicts and in dollars.

A section of `python -m bench.verdict contradictions`. Every case has its prices, and in truth a net benefit; what is measured are 1,000 test rows, drawn anew.
Rows go through the product's own gate, `net_benefit` and rules. The right answers were written down before any of it ran:

- `right`: verdicts that are true and useful; `allowed`: those that claim nothing false. All others are wrong.
- the regret of a draw is the best net benefit over the horizon, among doing nothing ($0) and the students that are in truth within the margin, less that of
  what the verdict takes. Where nobody said what an answer is worth, the saving alone is counted.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from bench.deciding import DISTIL, KEEP, LEVEL, MARGIN, TELL, TEST, said
from bench.rates import dollars, interval, mean_of, shown
from stillhouse.evaluation.margin_gate import among, decide_gate
from stillhouse.records import Estimate
from stillhouse.results.row_result import RowResult
from stillhouse.settings import MoneySettings
from stillhouse.verdict.evidence import MoneyEvidence, PromptEvidence, StudentEvidence
from stillhouse.verdict.money.break_even import ArmMoney
from stillhouse.verdict.money.net_benefit import net_benefit
from stillhouse.verdict.rules import recommend

START, N_TEST = date(2026, 11, 30), 1000
DIFFER = 0.06  # the share of rows on which only one of student and prompt is right
PROMPT_USD = 0.002  # what a call of the prompt costs on average; rows differ by 30 %


@dataclass(frozen=True)
class Made:
    """A student in truth: its score minus the prompt's, what a call of it costs, and what is spent on it once."""

    difference: float
    usd: float
    once: float = 85.0


@dataclass(frozen=True)
class Case:
    """`worth`: of a right answer, as the task says it; None: it does not. `retires`: days until the prompt's model is switched off."""

    what: str
    students: tuple[Made, ...]
    right: frozenset[str]
    allowed: frozenset[str]
    worth: float | None = None
    per_day: float = 1000.0
    horizon: int = 365
    retires: int | None = None
    least: float = 0.0

    @property
    def calls(self) -> float:
        return self.per_day * (self.horizon if self.retires is None else min(self.horizon, self.retires))

    def net(self, student: Made) -> float:
        return self.calls * (PROMPT_USD - student.usd + (self.worth or 0.0) * student.difference) - student.once


def _case(what: str, students: tuple[Made, ...], right: set[str], allowed: set[str], **facts: Any) -> Case:
    return Case(what, students, frozenset(right), frozenset(allowed), **facts)


SECOND = "distil, the second"
CASES = [
    _case("as good and cheaper, but 10 calls a day", (Made(0.0, 0.0005),), {KEEP}, {TELL, TEST}, per_day=10),
    _case("as good and cheaper", (Made(0.0, 0.0005),), {DISTIL}, {TELL, TEST}),
    _case(
        "as good; its call costs $4.80, an answer is worth $0.000001",
        (Made(0.0, 4.8),),
        {KEEP},
        {TELL, TEST},
        worth=1e-6,
    ),
    _case(
        "5 points better, its call $0.0005 dearer, an answer worth $0.20",
        (Made(0.05, 0.0025),),
        {DISTIL},
        {TELL, TEST},
        worth=0.2,
    ),
    _case(
        "5 points better, its call $0.02 dearer, an answer worth $0.20",
        (Made(0.05, 0.022),),
        {KEEP},
        {TELL, TEST},
        worth=0.2,
    ),
    _case(
        "1 point worse, cheaper, and an answer is worth $0.50", (Made(-0.01, 0.0005),), {KEEP}, {TELL, TEST}, worth=0.5
    ),
    _case(
        "1 point worse, cheaper, and an answer is worth $0.01",
        (Made(-0.01, 0.0005),),
        {DISTIL},
        {TELL, TEST, KEEP},
        worth=0.01,
    ),
    _case("8 points worse, beyond the margin, and pays", (Made(-0.08, 0.0001),), {KEEP}, {TELL}, worth=0.001),
    _case(
        "what it brings is exactly nothing", (Made(0.0, PROMPT_USD - 85 / 365_000),), {KEEP}, {TELL, TEST}, worth=0.05
    ),
    _case("the prompt's model goes in 16 days", (Made(0.0, 0.0005),), {KEEP}, {TELL, TEST}, retires=16),
    _case("a saving below the least that counts", (Made(0.0, 0.0015),), {KEEP}, {TELL, TEST}, least=500.0),
    _case(
        "two pass, the second brings more",
        (Made(0.0, 0.0015), Made(0.04, 0.0015)),
        {SECOND},
        {TELL, TEST, DISTIL},
        worth=0.1,
    ),
]


def contradictions(draws: int = 200) -> list[dict[str, Any]]:
    found = []
    for number, case in enumerate(CASES):
        kinds: Counter[str] = Counter()
        regrets = []
        nets = [case.net(student) for student in case.students if student.difference > -MARGIN]
        best = max([0.0, *(net for net in nets if net > case.least)])
        for draw in range(draws):
            taken, kind = _verdict(case, np.random.default_rng([41, number, draw]))
            kinds[kind] += 1
            regrets.append(max(0.0, best - (0.0 if taken is None else case.net(case.students[taken]))))
        wrong = sum(n for kind, n in kinds.items() if kind not in case.right | case.allowed)
        found.append(
            {
                "case": case.what,
                "right": sorted(case.right),
                "allowed": sorted(case.allowed),
                "net_usd": [round(case.net(student), 2) for student in case.students],
                "draws": draws,
                "verdicts": dict(kinds.most_common()),
                "share_right": sum(kinds[kind] for kind in case.right) / draws,
                "share_wrong": wrong / draws,
                "wrong": interval(wrong, draws),
                "regret_usd": mean_of(regrets),
            }
        )
        print(f"contradictions, {case.what}: {dict(kinds)} {found[-1]['regret_usd']}", file=sys.stderr, flush=True)
    return found


def _verdict(case: Case, generator: np.random.Generator) -> tuple[int | None, str]:
    """(the number of the student that is taken, what the verdict is called)."""
    terms = MoneySettings(
        calls_per_day=case.per_day, horizon_days=case.horizon, right_answer_usd=case.worth, least_saving_usd=case.least
    )
    ends = None if case.retires is None else START + timedelta(days=case.retires)
    asked = ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=PROMPT_USD, ends=ends)
    paid = PROMPT_USD * np.exp(generator.normal(0, 0.3, N_TEST) - 0.045)
    arms = [_rows(generator, student) for student in case.students]
    prompt = [1.0 if row else 0.0 for row in generator.random(N_TEST) < 0.9]
    pairs = [_pair(prompt, shift) for shift in arms]
    gates = among(
        [
            decide_gate(_results(own), _results(other), margin=MARGIN, level=LEVEL, classes="none")
            for own, other in pairs
        ],
        len(pairs),
    )
    evidence = []
    for number, (student, gate, (own, other)) in enumerate(zip(case.students, gates, pairs, strict=True)):
        money = ArmMoney(name=f"student {number}", fixed_usd=student.once, usd_per_call=student.usd)
        groups = [str(i) for i in range(N_TEST)]
        usd = (np.full(N_TEST, student.usd), paid)
        net = net_benefit(money, asked, (own, other), usd, groups, terms, level=LEVEL, start=START)
        evidence.append(
            StudentEvidence(
                name=f"student {number}",
                learns_from="teacher",
                score=Estimate(sum(own) / N_TEST, N_TEST),
                gate=gate.answer,
                gate_sentence=gate.sentence,
                difference=gate.difference,
                better=gate.better,
                margin=MARGIN,
                rows_needed=gate.rows_needed,
                n_train=1000,
                pays_off=None if net is None else net.pays_off,
                money=MoneyEvidence(net=net, usd_per_call=student.usd, prompt_usd_per_call=PROMPT_USD),
            )
        )
    advice = recommend(PromptEvidence("prompt", Estimate(sum(prompt) / N_TEST, N_TEST)), evidence)
    taken = next((n for n, one in enumerate(evidence) if one.name == advice.chosen), None)
    return taken, f"{said(advice)}, the second" if taken == 1 else said(advice)


def _rows(generator: np.random.Generator, student: Made) -> np.ndarray:
    """Where the student alone is right (1), where the prompt alone is (-1), and where they are alike (0)."""
    spread = max(DIFFER, abs(student.difference))
    win, loss = (spread + student.difference) / 2, (spread - student.difference) / 2
    return generator.choice([1, -1, 0], N_TEST, p=[win, loss, 1 - win - loss])


def _pair(prompt: list[float], shift: np.ndarray) -> tuple[list[float], list[float]]:
    own = [1.0 if s == 1 else 0.0 if s == -1 else base for s, base in zip(shift, prompt, strict=True)]
    other = [0.0 if s == 1 else 1.0 if s == -1 else base for s, base in zip(shift, prompt, strict=True)]
    return own, other


def _results(scores: list[float]) -> list[RowResult]:
    return [RowResult(id=str(i), group=None, gold="x", output="x", score=score) for i, score in enumerate(scores)]


def table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| prices and scores | in truth it brings | right | verdicts in draws | wrong | regret, mean |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        nets = ", ".join(f"-${-net:,.0f}" if net <= -0.5 else f"${abs(net):,.0f}" for net in one["net_usd"])
        verdicts = ", ".join(f"{kind} {count}" for kind, count in one["verdicts"].items())
        lines.append(
            f"| {one['case']} | {nets} | {' or '.join(one['right'])} | {verdicts} "
            f"| {shown(one['share_wrong'], one['draws'])} | {dollars(one['regret_usd'])} |"
        )
    return "\n".join(lines)
