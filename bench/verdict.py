"""Is the verdict right? Simulated tasks whose right answer is known, through the same gate, threshold, curves and rules as `stillhouse advise`.

    python -m bench.verdict            all of it, into bench/results/verdict.json: some 40 minutes on one core, a section at most eight
    python -m bench.verdict coverage   one section again, the others as the file has them; their names are in `SECTIONS`
    python -m bench.verdict table      the tables of docs/verdict.md from that file

No student is trained, so that only the decisions are under test: a system is right on a row where its ability, the row's ease and chance add up to more than 0.
A row is equally easy for all systems. What is right in a task was written down before any of it ran, in `TASKS`:

- `right`: verdicts that are true of the task and useful;
- `allowed`: verdicts that claim nothing false: "cannot tell", and "collect more" where more rows would in truth decide. All others are wrong.

(Two definitions were mended after a trial of three draws. Some students had a confidence that was noise; a cascade that keeps one call in six at random harms
few rows, so its promise was true. These students were replaced by students without any confidence. One task keeps such a student, and allows its cascade.)

A cascade is judged by its promise: where the verdict is one, its harm is looked up on 50,000 further rows. Over the budget, it is wrong whatever the task.
"collect more" is judged by what it asks for. "More test rows" says that these do not decide, which is false where a student is far beyond the margin. "More
training rows" is false unless the student is in truth within the margin at twice as many.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from bench.contradictions import contradictions
from bench.contradictions import table as contradictions_table
from bench.copies import copies
from bench.copies import table as copies_table
from bench.deciding import (
    CASCADE,
    DISTIL,
    FINETUNE,
    KEEP,
    LEVEL,
    MARGIN,
    SHOTS,
    TELL,
    TEST,
    TRAINING,
    Arms,
    Decision,
    Student,
    decision_on,
    points_of,
)
from bench.graded import graded
from bench.graded import table as graded_table
from bench.planned_rows import planned_rows
from bench.planned_rows import table as planned_rows_table
from bench.rare_classes import rare_classes
from bench.rare_classes import table as rare_classes_table
from bench.rates import dollars, interval, mean_of, shown
from bench.stakes import Arm, Truth, truth_of
from bench.untuned import UNTUNED, AnyWorld, Untuned
from stillhouse.advice.curves import RowScores, crossing
from stillhouse.advice.monotone import size_at
from stillhouse.evaluation.eprocess import PairedEProcess
from stillhouse.evaluation.exact import exact_p, outside_of
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.evaluation.proportions import clopper_pearson, tango_z_of_tables
from stillhouse.evaluation.spending import level_of_look
from stillhouse.records import Source
from stillhouse.results.row_result import RowResult

OUT = Path(__file__).parent / "results" / "verdict.json"
SIZES = (128, 256, 512, 1024)
SEEDS, DRAWS = 5, 100
CHANCE = 0.5  # standard deviation of chance, which is drawn for each system and row; that of a row's ease is 1


@dataclass(frozen=True)
class System:
    """How often a system is right; by class where classes differ.

    `sure`: how closely its confidence follows its chance of being right, 0 to 1; None: it names no confidence.
    """

    accuracy: float
    classes: tuple[float, ...] = ()
    sure: float | None = 0.9


@dataclass(frozen=True)
class Simulated:
    """One task. `students`: name, whose labels it learned, accuracy at each of SIZES, and the student that is tested.

    `later`: the prompt on the test rows, where it is not as good, or as bad, as on the calibration rows.
    """

    what: str
    prompt: System
    students: tuple[tuple[str, Source, tuple[float, ...], System], ...]
    right: frozenset[str]
    allowed: frozenset[str]
    few_shot: System | None = None
    later: System | None = None
    n_test: int = 1000
    n_calibration: int = 1000
    classes: tuple[float, ...] = (0.5, 0.5)
    noise: float = 0.0  # share of gold labels that are wrong
    copies: int = 1  # how often every test row occurs; copies are linked as `data.copies` links them
    pays_off: bool | None = None


def _flat(accuracy: float) -> tuple[float, ...]:
    return (accuracy - 0.06, accuracy - 0.02, accuracy, accuracy)


def _student(
    accuracy: float, source: Source = "teacher", curve: tuple[float, ...] | None = None, **facts: Any
) -> tuple[Any, ...]:
    return f"student on {source} labels", source, curve or _flat(accuracy), System(accuracy, **facts)


MUTE = {"sure": None}  # a student that names no confidence, as most generative ones would do: no cascade
THREE = tuple((f"student {name}", "teacher", _flat(0.87), System(0.87, **MUTE)) for name in "abc")
SAME, UNEVEN = System(0.90), System(0.90, (0.905, 0.80))
CLIMBING, LOST = (0.65, 0.71, 0.77, 0.83), {"classes": (0.92, 0.42)}
FEW = {"n_test": 60, "n_calibration": 40}


def _task(
    what: str, prompt: System, students: Any, right: Sequence[str], allowed: Sequence[str], **facts: Any
) -> Simulated:
    return Simulated(what, prompt, students, frozenset(right), frozenset(allowed), **facts)


TASKS = [
    _task("as good as the prompt", SAME, (_student(0.90, **MUTE),), [DISTIL], [TELL, TEST]),
    _task(
        "teacher worse than a student on gold labels",
        System(0.80),
        (_student(0.86, "gold", **MUTE),),
        [FINETUNE],
        [TELL, TEST],
    ),
    _task("far below the prompt, and its curve is flat", System(0.92), (_student(0.80, **MUTE),), [KEEP], [TELL]),
    _task("below the prompt, and knows where", SAME, (_student(0.84),), [CASCADE], [TELL, KEEP]),
    _task(
        "far below, and its confidence says nothing", System(0.92), (_student(0.70, sure=0.0),), [KEEP], [TELL, CASCADE]
    ),
    _task(
        "too little data: 60 test rows, 12 points below",
        System(0.92),
        (_student(0.80, **MUTE),),
        [KEEP, TEST],
        [TELL],
        **FEW,
    ),
    _task("too little data: 60 test rows, as good", SAME, (_student(0.90, **MUTE),), [DISTIL, TEST], [TELL], **FEW),
    _task("tie: worse by exactly the margin", SAME, (_student(0.87, **MUTE),), [KEEP], [TELL, TEST]),
    _task("tie, and three students to choose from", SAME, THREE, [KEEP], [TELL, TEST]),
    _task(
        "tie, and every test row is there five times",
        SAME,
        (_student(0.87, **MUTE),),
        [KEEP],
        [TELL, TEST],
        n_test=300,
        copies=5,
    ),
    _task(
        "as good, but a call of it costs more", SAME, (_student(0.90, **MUTE),), [KEEP], [TELL, TEST], pays_off=False
    ),
    _task(
        "still climbing: there at twice the rows", SAME, (_student(0.83, curve=CLIMBING, **MUTE),), [TRAINING], [TELL]
    ),
    _task(
        "teacher drifts: better on test than on calibration rows",
        System(0.50),
        (_student(0.70, sure=0.3),),
        [KEEP],
        [TELL, CASCADE],
        later=System(0.92),
    ),
    _task(
        "class imbalance: a class of 5 % is lost",
        UNEVEN,
        (_student(0.90, **LOST, **MUTE),),
        [KEEP],
        [TELL, TEST],
        classes=(0.95, 0.05),
    ),
    _task(
        "15 % of gold labels are wrong, 8 points below",
        System(0.92),
        (_student(0.84, **MUTE),),
        [KEEP],
        [TELL],
        noise=0.15,
    ),
    _task(
        "15 % of gold labels are wrong, as good", SAME, (_student(0.90, **MUTE),), [DISTIL], [TELL, TEST], noise=0.15
    ),
    _task(
        "examples add 5 points, students are far below",
        System(0.84),
        (_student(0.74, **MUTE),),
        [SHOTS],
        [TELL, KEEP],
        few_shot=System(0.89),
    ),
    _task(
        "as good as the plain prompt, examples add 5 points",
        System(0.84),
        (_student(0.84, **MUTE),),
        [SHOTS],
        [TELL],
        few_shot=System(0.89),
    ),
]


@dataclass
class World:
    """The rows of one draw, each with its ease, its class and whether its gold label is wrong. Systems answer them."""

    generator: np.random.Generator
    n: int
    classes: tuple[float, ...]
    noise: float = 0.0
    copies: int = 1
    ease: Any = field(init=False)
    label: Any = field(init=False)
    flipped: Any = field(init=False)

    def __post_init__(self) -> None:
        self.ease = np.repeat(self.generator.normal(0, 1, self.n), self.copies)
        self.label = np.repeat(self.generator.choice(len(self.classes), self.n, p=self.classes), self.copies)
        self.flipped = np.repeat(self.generator.random(self.n) < self.noise, self.copies)

    def chances(self, accuracy: float, luck: float = 0.0) -> Any:
        """Ability plus ease of each row. With chance added, the sum is above 0 with probability `accuracy`."""
        return (special.ndtri(accuracy) + luck) * np.sqrt(1 + CHANCE**2) + self.ease

    def answers(self, system: System, luck: float = 0.0) -> tuple[Any, Any]:
        """(right, confidence) of every row. Where the gold label is wrong, a right answer is scored as wrong and a wrong one, of two classes, as right."""
        ability = self.chances(system.accuracy, luck)
        if system.classes:
            ability = np.stack([self.chances(accuracy, luck) for accuracy in system.classes])[
                self.label, np.arange(len(self.label))
            ]
        right = ability + self.generator.normal(0, CHANCE, len(ability)) > 0
        if system.sure is None:
            return right != self.flipped, None
        return right != self.flipped, system.sure * special.ndtr(ability / CHANCE) + (
            1 - system.sure
        ) * self.generator.random(len(ability))

    def rows(self, system: System, luck: float = 0.0) -> list[RowResult]:
        right, confidence = self.answers(system, luck)
        names, sure = (
            [f"c{label}" for label in self.label],
            [None] * len(right) if confidence is None else confidence.tolist(),
        )
        group = [f"copies of {number // self.copies}" if self.copies > 1 else None for number in range(len(names))]
        return [
            RowResult(
                id=str(number),
                group=group[number],
                gold=name,
                output=name if good else "another",
                score=float(good),
                confidence=at,
            )
            for number, (name, good, at) in enumerate(zip(names, right, sure, strict=True))
        ]


def decision_of(task: Simulated, generator: np.random.Generator) -> Decision:
    """What the product says of one draw of a task. Of a cascade it is also looked up whether its promise is true on 50,000 rows that nobody saw."""
    world = World(generator, task.n_test, task.classes, task.noise, task.copies)
    held = World(generator, task.n_calibration, task.classes, task.noise)
    prompt, few_shot = (
        world.rows(task.later or task.prompt),
        {} if task.few_shot is None else {8: world.rows(task.few_shot)},
    )
    prompt_before = held.rows(task.prompt)
    lucks = generator.normal(0, 0.03, (len(task.students), SEEDS))
    lucks[:, 0] = 0  # the student that is tested is as good as the task says
    rows = [world.rows(system, luck[0]) for (_, _, _, system), luck in zip(task.students, lucks, strict=True)]
    students = [
        Student(name, source, own, points_of(SIZES, _scores(world, curve, own, luck)), task.pays_off)
        for (name, source, curve, _), own, luck in zip(task.students, rows, lucks, strict=True)
    ]
    before = held.rows(task.students[0][3], lucks[0, 0])
    labels = [f"c{number}" for number in range(len(task.classes))]

    def promise(threshold: float) -> tuple[float, float, float]:
        return _promise(task, threshold, lucks[0, 0], generator)

    return decision_on(
        Arms(prompt, students, (before, prompt_before), promise, labels, few_shot, cascade_pays_off=task.pays_off)
    )


def _promise(
    task: Simulated, threshold: float, luck: float, generator: np.random.Generator
) -> tuple[float, float, float]:
    world = World(generator, 50_000, task.classes)
    (right, confidence), (teacher, _) = (
        world.answers(task.students[0][3], luck),
        world.answers(task.later or task.prompt),
    )
    kept = confidence >= threshold
    ahead = np.where(kept, right.astype(float) - teacher, 0.0)
    return float(kept.mean()), float((kept & ~right & teacher).mean()), float(ahead.mean())


def _scores(world: World, accuracies: Sequence[float], last: Sequence[RowResult], lucks: Any) -> Any:
    """The points of a learning curve. The first seed at the largest size is the student that the gate sees. (sizes, seeds)"""
    scores = np.array([[world.answers(System(accuracy), luck)[0].mean() for luck in lucks] for accuracy in accuracies])
    scores[-1, 0] = np.mean([row.score for row in last])
    return scores


def tasks(draws: int = DRAWS) -> list[dict[str, Any]]:
    found = []
    for number, task in enumerate(TASKS):
        drawn = [decision_of(task, np.random.default_rng([number, draw])) for draw in range(draws)]
        counts = Counter(one.kind for one in drawn)
        truth = _truth(task)
        wrong = sum(count for kind, count in counts.items() if kind not in task.right | task.allowed)
        right = sum(counts[kind] for kind in task.right)
        found.append(
            {
                "task": task.what,
                "right": sorted(task.right),
                "allowed": sorted(task.allowed),
                "draws": draws,
                "verdicts": dict(counts.most_common()),
            }
        )
        found[-1] |= {
            "share_right": right / draws,
            "share_right_or_allowed": 1 - wrong / draws,
            "share_wrong": wrong / draws,
            "wrong": interval(wrong, draws),
            "regret_usd": mean_of([truth.regret(one) for one in drawn]),
        }
        print(f"{task.what}: {wrong} of {draws} wrong {dict(counts.most_common())}", file=sys.stderr, flush=True)
    return found


def _truth(task: Simulated) -> Truth:
    """What each arm of a task is in truth against the prompt on the test rows."""
    prompt = task.later or task.prompt

    def allowed(system: System) -> bool:
        """The floor: within the margin, overall and in each class. At exactly the margin an arm is not within it."""
        within = system.accuracy - prompt.accuracy > -MARGIN + 1e-9
        of_classes = zip(system.classes, prompt.classes, strict=False)
        return within and all(own - other > -MARGIN for own, other in of_classes)

    students = [
        Arm(system.accuracy - prompt.accuracy, allowed(system), dearer=task.pays_off is False)
        for *_, system in task.students
    ]
    shots = None if task.few_shot is None else Arm(task.few_shot.accuracy - prompt.accuracy, True)
    return Truth(tuple(students), shots, cascade_dearer=task.pays_off is False)


def untuned(draws: int = 60) -> list[dict[str, Any]]:
    """The second set, on which no rule was tuned."""
    found = []
    for number, task in enumerate(UNTUNED):
        counts: Counter[str] = Counter()
        right = wrong = 0
        regrets = []
        truth = truth_of(task) if isinstance(task, Untuned) else None
        for draw in range(draws):
            arms, answers = task.draw(np.random.default_rng([17, number, draw]))
            decision = decision_on(arms)
            if decision.kind == TRAINING and isinstance(task, Untuned) and task.half_step is not None:
                decision = decision_on(task.after_half_step(np.random.default_rng([19, number, draw])))
            kind = decision.kind
            if truth is not None:
                regrets.append(truth.regret(decision))
            counts[kind] += 1
            right += kind in answers.right
            wrong += kind not in answers.right | answers.allowed
        own = ["its own"] if isinstance(task, AnyWorld) else sorted(task.answers.right)
        found.append(
            {
                "task": task.what,
                "right": own,
                "allowed": own if isinstance(task, AnyWorld) else sorted(task.answers.allowed),
                "draws": draws,
            }
        )
        found[-1] |= {
            "verdicts": dict(counts.most_common()),
            "share_right": right / draws,
            "share_wrong": wrong / draws,
            "wrong": interval(wrong, draws),
            "regret_usd": mean_of(regrets) if regrets else None,
        }
        print(
            f"untuned, {task.what}: {wrong} of {draws} wrong {dict(counts.most_common())}", file=sys.stderr, flush=True
        )
    return found


# The gate on students that are worse by exactly the margin


def null_gate(trials: int = 1000) -> list[dict[str, Any]]:
    """How often each kind of student passes though it is worse by exactly the margin. At a first look at most 4 % should."""
    kinds: dict[str, tuple[Callable[[np.random.Generator], tuple[list[RowResult], list[RowResult]]], float]] = {}
    for n, margin, discordance in (
        (100, 0.05, 0.10),
        (300, 0.02, 0.02),
        (300, 0.02, 0.10),
        (500, 0.02, 0.10),
        (2000, 0.02, 0.15),
    ):
        kinds[f"right or wrong, n = {n}, {discordance:.0%} differ"] = (_null_proportion(n, margin, discordance), margin)
    for groups in (30, 100):
        kinds[f"a rare total loss, n = {groups}, scores in between"] = (_null_graded(groups), 0.05)
        kinds[f"groups of 1 to 6 rows, {groups} groups"] = (_null_grouped(groups), 0.05)
    found = []
    for number, (what, (draw, margin)) in enumerate(kinds.items()):
        generator = np.random.default_rng([7, number])
        passed = sum(decide_gate(*draw(generator), margin=margin, level=LEVEL).answer == "pass" for _ in range(trials))
        found.append(
            {
                "students": what,
                "margin": margin,
                "level": LEVEL,
                "trials": trials,
                "passed": passed / trials,
                **interval(passed, trials),
            }
        )
        print(f"null, {what}: {passed / trials:.3f} of {trials} pass", file=sys.stderr, flush=True)
    return found


def _arms(one: Any, other: Any, groups: Any = None) -> tuple[list[RowResult], list[RowResult]]:
    names = [None] * len(one) if groups is None else [str(group) for group in groups]
    arms = [
        [
            RowResult(id=str(n), group=name, gold="x", output="y", score=float(score))
            for n, (score, name) in enumerate(zip(arm, names, strict=True))
        ]
        for arm in (one, other)
    ]
    return arms[0], arms[1]


def _null_proportion(n: int, margin: float, discordance: float) -> Any:
    def draw(generator: np.random.Generator) -> Any:
        b, c, _ = generator.multinomial(n, [(discordance - margin) / 2, (discordance + margin) / 2, 1 - discordance])
        return _arms([1] * b + [0] * c + [1] * (n - b - c), [0] * b + [1] * c + [1] * (n - b - c))

    return draw


def _null_graded(n: int) -> Any:
    """The student's score is within 0.02 of the teacher's, except on 5 % of the rows: there it is 0 and the teacher's is 1."""

    def draw(generator: np.random.Generator) -> Any:
        lost = generator.random(n) < 0.05
        shift = generator.uniform(-0.02, 0.02, n)
        return _arms(np.where(lost, 0.0, 0.9 + shift), np.where(lost, 1.0, 0.9))

    return draw


def _null_grouped(groups: int) -> Any:
    def draw(generator: np.random.Generator) -> Any:
        sizes = generator.integers(1, 7, groups)
        rate = np.repeat(generator.beta(1, 19, groups), sizes)
        return _arms(generator.random(len(rate)) >= rate, np.ones(len(rate)), np.repeat(np.arange(groups), sizes))

    return draw


# The interval of the crossover, and the e-process


def coverage(draws: int = 400) -> list[dict[str, Any]]:
    """How often the 95 % interval of n* holds the true one."""
    true, found = (0.50, 0.58, 0.65, 0.71, 0.75), []
    for number, (prompt, seeds, n_rows) in enumerate([(0.68, 3, 150), (0.68, 5, 150), (0.60, 5, 400), (0.73, 5, 400)]):
        sizes, covered, generator = (16, 32, 64, 128, 256), 0, np.random.default_rng([11, number])
        truth = float(size_at(sizes, np.array(true), prompt))
        for draw in range(draws):
            world = World(generator, n_rows, (1.0,))
            lucks = generator.normal(0, 0.1, seeds)
            spread = np.sqrt(1 + CHANCE**2 + 2 * 0.1**2) / np.sqrt(
                1 + CHANCE**2
            )  # with this factor the mean over lucks is the accuracy
            scores = [
                [world.chances(0.5, special.ndtri(at) * spread + luck + generator.normal(0, 0.1)) for luck in lucks]
                for at in true
            ]
            right = np.array(scores) + generator.normal(0, CHANCE, (len(true), seeds, n_rows)) > 0
            one = crossing(
                RowScores(sizes, right.astype(float), np.arange(n_rows)),
                world.answers(System(prompt))[0].astype(float),
                seed=draw,
            )
            covered += (one.low or 0) <= truth <= (one.high or np.inf)
        found.append(
            {"true_n_star": truth, "seeds": seeds, "test_rows": n_rows, "draws": draws, "covered": covered / draws}
            | interval(int(covered), draws)
        )
        print(f"n*: {found[-1]}", file=sys.stderr, flush=True)
    return found


def peeking(trials: int = 2000, rows: int = 600) -> list[dict[str, Any]]:
    """How often an e-process raises a false alarm where somebody looks after every row."""
    found = []
    for number, (margin, discordance, alarm) in enumerate(
        [(0.05, 0.15, "pass"), (0.02, 0.04, "pass"), (0.05, 0.15, "fail")]
    ):
        generator, alarms = np.random.default_rng([13, number]), 0
        for _ in range(trials):
            process = PairedEProcess(margin)
            better = generator.random(rows)
            for value in better:
                b = (discordance - margin) / 2
                if value < discordance:
                    if process.add(float(value < b), float(value >= b)) == alarm:
                        alarms += 1
                        break
                else:
                    if process.add(1.0, 1.0) == alarm:
                        alarms += 1
                        break
        found.append(
            {
                "margin": margin,
                "differ": discordance,
                "alarm": alarm,
                "rows": rows,
                "trials": trials,
                "false_alarms": alarms / trials,
                **interval(alarms, trials),
            }
        )
        print(f"e-process: {found[-1]}", file=sys.stderr, flush=True)
    return found


# One plan after another on the same rows


def looks(trials: int = 2000, n: int = 300, margin: float = 0.05) -> list[dict[str, Any]]:
    """How often some of the first 1, 3, 5, 10, 20 looks at the same rows passes a student that is worse by exactly the margin.

    "new students": each look has a student that knows nothing of the rows. "variations of the best": each student answers as the one that did best on
    these rows so far, except on a third of the rows, which are drawn anew. Such students are chosen by these rows' scores, and no level can promise for
    them. The prompt is right on 90 % of the rows.
    """
    at, found = (1, 3, 5, 10, 20), []
    wins, loses = 0.3, (0.1 * 0.3 + margin) / 0.9
    for kind in ("new students", "variations of the best"):
        generator = np.random.default_rng(23)
        first = {
            "every look at 95 %": [at[-1] + 1] * trials,
            "spent": [at[-1] + 1] * trials,
        }  # the first look that passes
        for trial in range(trials):
            prompt, best = generator.random(n) < 0.9, None
            for k in range(1, at[-1] + 1):
                own = np.where(prompt, generator.random(n) >= loses, generator.random(n) < wins)
                if kind != "new students" and best is not None:
                    own = np.where(generator.random(n) < 1 / 3, own, best)
                if best is None or own.sum() > best.sum():
                    best = own
                b, c = int((own & ~prompt).sum()), int((prompt & ~own).sum())
                if float(tango_z_of_tables(np.array([b]), np.array([c]), n, -margin)[0]) < 1.5:
                    continue  # p is far above 5 %
                for rule, level in (("every look at 95 %", 0.95), ("spent", level_of_look(k))):
                    if first[rule][trial] > k and exact_p(b, c, n, -margin, outside_of(level)) < 1 - level:
                        first[rule][trial] = k
        for rule, passed in first.items():
            shares = {str(k): sum(look <= k for look in passed) / trials for k in at}
            low, high = clopper_pearson(sum(look <= at[-1] for look in passed), trials)
            found.append({"students": kind, "rule": rule, "trials": trials, "passed": shares, "low": low, "high": high})
            print(f"looks: {found[-1]}", file=sys.stderr, flush=True)
    return found


SECTIONS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "tasks": tasks,
    "untuned": untuned,
    "null_gate": null_gate,
    "copies": copies,
    "coverage": coverage,
    "peeking": peeking,
    "looks": looks,
    "graded": graded,
    "rare_classes": rare_classes,
    "contradictions": contradictions,
    "planned_rows": planned_rows,
}


def main(*names: str) -> dict[str, Any]:
    """The sections that are named, or all; the others as the file holds them."""
    made = {name: section() for name, section in SECTIONS.items() if name in (names or SECTIONS)}
    found: dict[str, Any] = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() and names else {}
    return found | made


# The tables of docs/verdict.md


def _verdicts_table(head: str) -> Callable[[list[dict[str, Any]]], str]:
    def table(found: list[dict[str, Any]]) -> str:
        lines = [
            f"| {head} | right | verdicts in draws | right | wrong | regret a year, mean |",
            "|---|---|---|---|---|---|",
        ]
        for one in found:
            verdicts = ", ".join(f"{kind} {count}" for kind, count in one["verdicts"].items())
            lost = dollars(one["regret_usd"]) if one["regret_usd"] else "–"
            right = shown(one["share_right"], one["draws"], with_n=False)
            shares = f"{right} | {shown(one['share_wrong'], one['draws'])} | {lost}"
            lines.append(f"| {one['task']} | {' or '.join(one['right'])} | {verdicts} | {shares} |")
        return "\n".join(lines)

    return table


def _null_table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| students that are worse by exactly the margin | margin | pass, at most 4 % wanted at a first look |",
        "|---|---|---|",
    ]
    lines += [f"| {one['students']} | {one['margin']:.2f} | {shown(one['passed'], one['trials'])} |" for one in found]
    return "\n".join(lines)


def _coverage_table(found: list[dict[str, Any]]) -> str:
    lines = ["| true n* | seeds | test rows | 95 % interval holds it |", "|---|---|---|---|"]
    lines += [
        f"| {one['true_n_star']:.0f} | {one['seeds']} | {one['test_rows']:,} | {shown(one['covered'], one['draws'])} |"
        for one in found
    ]
    return "\n".join(lines)


def _peeking_table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| e-process, a look after every row | rows differ | rows | false alarms, at most 5 % wanted |",
        "|---|---|---|---|",
    ]
    for one in found:
        what = f"{one['alarm']} at a margin of {one['margin']:.2f} | {one['differ']:.0%} | {one['rows']:,}"
        lines.append(f"| {what} | {shown(one['false_alarms'], one['trials'], 2)} |")
    return "\n".join(lines)


def _looks_table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| students at the margin, one after another on the same 300 rows | level | 1 look | 3 | 5 | 10 | 20 looks |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        shares = [shown(share, one["trials"], with_n=False) for share in one["passed"].values()]
        lines.append(f"| {one['students']} (n = {one['trials']:,}) | {one['rule']} | {' | '.join(shares)} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "tasks": _verdicts_table("simulated task"),
    "untuned": _verdicts_table("simulated task, second set"),
    "null_gate": _null_table,
    "copies": copies_table,
    "coverage": _coverage_table,
    "peeking": _peeking_table,
    "looks": _looks_table,
    "graded": graded_table,
    "rare_classes": rare_classes_table,
    "contradictions": contradictions_table,
    "planned_rows": planned_rows_table,
}


def tables(found: dict[str, Any]) -> dict[str, str]:
    """A table for each section that was measured."""
    return {name: make(found[name]) for name, make in TABLES.items() if name in found}


if __name__ == "__main__":
    if sys.argv[1:] == ["table"]:
        print(*tables(json.loads(OUT.read_text(encoding="utf-8"))).values(), sep="\n\n")
    else:
        OUT.write_text(
            json.dumps(main(*sys.argv[1:]) | {"date": time.strftime("%Y-%m-%d")}, indent=2) + "\n", encoding="utf-8"
        )
