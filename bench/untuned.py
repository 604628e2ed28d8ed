"""The second set of simulated tasks: none of the verdict's rules was tuned on it, and each task has a generating process of its own.

`bench.verdict` draws every task anew and sends it through `bench.deciding`, as the first set. The right answers were written down, and committed, before
any of it ran. They follow from each process by the same measure as the first set's:

- `right`: verdicts that are true of the task and useful. `allowed`: verdicts that claim nothing false.
- a student may replace the prompt where it is in truth less than the margin worse, in the mean and in every class; a cascade where its promise is true (looked
  up on 50,000 further rows); examples where they add something.
- "more test rows" is false where the student is far beyond the margin. "more training rows" is false unless it is within the margin at twice as many.
- "keep prompt" is false where a student is as good and not dearer.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.deciding import (
    CASCADE,
    DISTIL,
    FINETUNE,
    KEEP,
    MARGIN,
    SHOTS,
    TELL,
    TEST,
    TRAINING,
    Arms,
    Student,
    points_of,
)
from stillhouse.evaluation.metrics import by_name
from stillhouse.records import Source
from stillhouse.results.row_result import RowResult
from stillhouse.results.verdict import HalfStep
from stillhouse.verdict.money.break_even import ArmMoney, break_even
from stillhouse.verdict.money.machine import machines

SIZES = (128, 256, 512, 1024)
SEEDS, SPREAD = 5, 0.008  # standard deviation of a student's accuracy between seeds
UNSEEN = 50_000
Floats = NDArray[np.float64]
Generator = np.random.Generator


@dataclass(frozen=True)
class Answers:
    right: frozenset[str]
    allowed: frozenset[str]


def _answers(right: Sequence[str], allowed: Sequence[str]) -> Answers:
    return Answers(frozenset(right), frozenset(allowed))


@dataclass(frozen=True)
class Rows:
    """Rows of a process: scores (rows,) of the prompt, the students and the prompts with examples; the first student's confidence; class and group."""

    prompt: Floats
    students: Sequence[Floats]
    confidence: Floats | None = None
    classes: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None
    shots: Mapping[int, Floats] = field(default_factory=dict)


Process = Callable[[Generator, int], Rows]


@dataclass(frozen=True)
class Untuned:
    """A task. `before`: the process that makes the calibration rows, where it differs from the one of the test rows. `curves`: each student's accuracy at
    SIZES, by default nearly flat.

    `half_step`: what the first student's answers, and its accuracy, are with the half step of rows that a verdict asks for; None: nobody buys any.
    `prices`: whether the student, and whether the cascade, pays off; None: not known. Where `metric` is not accuracy, scores lie between 0 and 1.
    """

    what: str
    process: Process
    answers: Answers
    before: Process | None = None
    sources: tuple[Source, ...] = ("teacher",)
    curves: tuple[tuple[float, ...], ...] | None = None
    prices: tuple[bool | None, bool | None] = (None, None)
    n_test: int = 1000
    n_calibration: int = 1000
    graded: bool = False
    half_step: tuple[Process, float] | None = None

    def after_half_step(self, generator: Generator) -> Arms:
        """The next look, at 0.41 times as many rows more, as the first one asked for."""
        assert self.half_step is not None and self.curves is not None
        process, accuracy = self.half_step
        curve, sizes = (*self.curves[0], accuracy), (*SIZES, round(math.sqrt(2) * SIZES[-1]))
        found, _ = replace(self, process=process, curves=(curve,)).draw(generator, sizes)
        bought = tuple(HalfStep(one.name, SIZES[-1], 2 * SIZES[-1]) for one in found.students)
        return replace(found, students=[replace(one, bought=bought) for one in found.students])

    def draw(self, generator: Generator, sizes: Sequence[int] = SIZES) -> tuple[Arms, Answers]:
        test, held = self.process(generator, self.n_test), (self.before or self.process)(generator, self.n_calibration)
        students = []
        for number, (source, scores) in enumerate(zip(self.sources, test.students, strict=True)):
            rows = _results(scores, test, test.confidence if number == 0 else None)
            curve = _flat(float(scores.mean())) if self.curves is None else self.curves[number]
            points = points_of(sizes, _curve(generator, curve, scores))
            students.append(Student(f"student {number} on {source} labels", source, rows, points, self.prices[0]))

        def promise(threshold: float) -> tuple[float, float, float]:
            unseen = self.process(generator, UNSEEN)
            assert unseen.confidence is not None
            kept = unseen.confidence >= threshold
            ahead = np.where(kept, unseen.students[0] - unseen.prompt, 0.0)
            return float(kept.mean()), float((kept & (unseen.students[0] < unseen.prompt)).mean()), float(ahead.mean())

        found = Arms(
            _results(test.prompt, test),
            students,
            (_results(held.students[0], held, held.confidence), _results(held.prompt, held)),
            promise,
            None if test.classes is None else [f"c{number}" for number in np.unique(test.classes)],
            {k: _results(scores, test) for k, scores in test.shots.items()},
            cascade_pays_off=self.prices[1],
        )
        return (replace(found, metric=by_name("token_f1")) if self.graded else found), self.answers


def _results(scores: Floats, rows: Rows, confidence: Floats | None = None) -> list[RowResult]:
    n = len(scores)
    labels = ["text"] * n if rows.classes is None else [f"c{number}" for number in rows.classes]
    groups = [None] * n if rows.groups is None else [f"g{number}" for number in rows.groups]
    sure = [None] * n if confidence is None else confidence.tolist()
    return [
        RowResult(
            id=str(i),
            group=groups[i],
            gold=labels[i],
            output=labels[i] if scores[i] == 1 else "another",
            score=float(scores[i]),
            confidence=sure[i],
        )
        for i in range(n)
    ]


def _flat(accuracy: float) -> tuple[float, ...]:
    return (accuracy - 0.06, accuracy - 0.02, accuracy, accuracy)


def _curve(generator: Generator, accuracies: Sequence[float], tested: Floats) -> Floats:
    """Scores measured on as many rows as `tested` has. The first seed at the largest size is the student that is tested. (sizes, seeds)"""
    true = np.clip(np.array(accuracies)[:, None] + generator.normal(0, SPREAD, (len(accuracies), SEEDS)), 0, 1)
    scores: Floats = generator.binomial(len(tested), true) / len(tested)
    scores[-1, 0] = tested.mean()
    return scores


# Processes: rows that are right or wrong


def _right(generator: Generator, n: int, chance: float | Floats) -> Floats:
    return np.asarray(generator.random(n) < chance, float)


def _copying(generator: Generator, of: Floats, share: float, chance: float | Floats) -> Floats:
    """On a share of the rows the same as `of`; on the others right with a chance of `chance`, whatever `of` is."""
    return np.where(generator.random(len(of)) < share, of, _right(generator, len(of), chance))


def _classes(generator: Generator, n: int, weights: Sequence[float]) -> NDArray[np.int64]:
    return generator.choice(len(weights), n, p=np.array(weights) / sum(weights))


def _copies(generator: Generator, n: int) -> Rows:
    """The student learns the teacher's mistakes with its answers, and is 0.5 points worse."""
    prompt = _right(generator, n, 0.85)
    return Rows(prompt, [_copying(generator, prompt, 0.97, 0.70)], classes=_classes(generator, n, (0.5, 0.3, 0.2)))


def _mislabelled_by_rule(generator: Generator, n: int) -> Rows:
    """Six classes. On 60 % of the fourth class's rows the teacher is always wrong, by a rule.

    A student on the teacher's labels learns the rule. One on gold labels does not, and is 5.6 points better than the teacher.
    """
    classes = _classes(generator, n, (0.35, 0.25, 0.15, 0.10, 0.10, 0.05))
    ruled = (classes == 3) & (generator.random(n) < 0.6)
    able = _right(generator, n, 0.93)
    prompt = np.where(ruled, 0.0, able)
    on_gold = _copying(generator, able, 0.7, 0.93)
    on_teacher = np.where(ruled, 0.0, _copying(generator, able, 0.97, 0.93))
    return Rows(prompt, [on_gold, on_teacher], classes=classes)


def _conversations(worse: bool) -> Process:
    def process(generator: Generator, n: int) -> Rows:
        """Groups of 1 to 12 rows that are easy or hard together. The student is 8 points below, or as good."""
        sizes = generator.integers(1, 13, n)  # of more groups than are needed
        groups = np.repeat(np.arange(n), sizes)[:n]
        chance = generator.beta(3.6, 0.4, n)[groups]
        lost = generator.beta(8.2, 0.8, n)[groups] if worse else 1.0
        return Rows(
            _right(generator, n, chance),
            [_right(generator, n, chance * lost)],
            classes=_classes(generator, n, (0.6, 0.4)),
            groups=groups,
        )

    return process


def _votes(generator: Generator, n: int) -> Rows:
    """The student's confidence has three steps, as three votes would give it. At these it is right in 60, 85 and 98.5 % of cases.

    The prompt is right in 93 %; the student is 9.4 points below.
    """
    step = generator.choice(3, n, p=(0.30, 0.25, 0.45))
    student = _right(generator, n, np.array([0.60, 0.85, 0.985])[step])
    return Rows(_right(generator, n, 0.93), [student], (step + 1) / 3, _classes(generator, n, (0.5, 0.5)))


def _surest_where_wrong(generator: Generator, n: int) -> Rows:
    """On 15 % of the rows the student is right only in a fifth of cases, but surer than on any others."""
    trap = generator.random(n) < 0.15
    confidence = np.where(trap, generator.beta(30, 1, n), generator.beta(8, 2, n))
    return Rows(
        _right(generator, n, 0.92),
        [_right(generator, n, np.where(trap, 0.2, 0.9))],
        confidence,
        _classes(generator, n, (0.5, 0.5)),
    )


def _pair(prompt: float, student: float, alike: float = 0.5) -> Process:
    """A student without a confidence. On a share `alike` of the rows it is right where the prompt is.

    On the others it is as good as it must be for its mean to be `student`.
    """

    def process(generator: Generator, n: int) -> Rows:
        own = (student - alike * prompt) / (1 - alike)
        asked = _right(generator, n, prompt)
        return Rows(asked, [_copying(generator, asked, alike, own)], classes=_classes(generator, n, (0.7, 0.3)))

    return process


def _knows_where(prompt: float, easy: float, new: float = 0.0) -> Process:
    """On a share `easy` of the rows the student is right in 99 % of cases, on the others in half of them, and its confidence tells which.

    On a share `new` it is as sure as on the easy rows, but right in half of the cases.
    """

    def process(generator: Generator, n: int) -> Rows:
        kind = generator.choice(3, n, p=((1 - new) * easy, (1 - new) * (1 - easy), new))
        confidence = np.where(kind == 1, generator.beta(2, 4, n), generator.beta(12, 2, n))
        student = _right(generator, n, np.array([0.99, 0.5, 0.5])[kind])
        return Rows(_right(generator, n, prompt), [student], confidence, _classes(generator, n, (0.5, 0.5)))

    return process


def _lost_class(generator: Generator, n: int) -> Rows:
    """Twenty classes. In one of them the student is 47 points below the prompt, in the others 1 point above."""
    classes = _classes(generator, n, [1.0] * 20)
    return Rows(_right(generator, n, 0.92), [_right(generator, n, np.where(classes == 7, 0.45, 0.93))], classes=classes)


def _zipf(generator: Generator, n: int) -> Rows:
    """Seven classes, the k-th with a share in proportion to 1/k. In each the student is as good as the prompt."""
    prompt = _right(generator, n, 0.88)
    return Rows(
        prompt, [_copying(generator, prompt, 0.8, 0.88)], classes=_classes(generator, n, [1 / k for k in range(1, 8)])
    )


def _examples_help(generator: Generator, n: int) -> Rows:
    """Eight examples bring the prompt from 80 to 87 %. The student, which learned from the prompt with eight examples, is as good as that."""
    prompt = _right(generator, n, 0.80)
    shots = {
        k: np.where(prompt == 1, _right(generator, n, 0.97), _right(generator, n, (at - 0.80 * 0.97) / 0.20))
        for k, at in ((1, 0.82), (2, 0.84), (4, 0.86), (8, 0.87))
    }
    return Rows(
        prompt, [_copying(generator, shots[8], 0.6, 0.87)], classes=_classes(generator, n, (0.5, 0.5)), shots=shots
    )


def _examples_do_nothing(generator: Generator, n: int) -> Rows:
    """The prompt with 1, 2, 4, 8 or 16 examples answers some rows differently, but is as good as without. The student is 8 points below."""
    prompt = _right(generator, n, 0.85)
    shots = {k: _copying(generator, prompt, 0.8, 0.85) for k in (1, 2, 4, 8, 16)}
    return Rows(
        prompt, [_copying(generator, prompt, 0.5, 0.69)], classes=_classes(generator, n, (0.5, 0.5)), shots=shots
    )


# Processes: scores in between


def _as_good_in_words(generator: Generator, n: int) -> Rows:
    """Prompt and student score alike on half of the rows. On the others both are drawn around one mean, which each row has of its own."""
    mean = generator.beta(7, 2, n)
    prompt, other = (generator.beta(12 * mean, 12 * (1 - mean)) for _ in range(2))
    return Rows(prompt, [np.where(generator.random(n) < 0.5, prompt, other)])


def _total_losses(generator: Generator, n: int) -> Rows:
    """On most rows the student's score is within 0.01 of the prompt's; on 12 % of the rows it is 0. So it is 9.3 points below."""
    prompt = generator.beta(7, 2, n)
    return Rows(
        prompt, [np.where(generator.random(n) < 0.12, 0.0, np.clip(prompt + generator.uniform(-0.01, 0.01, n), 0, 1))]
    )


def _verbatim(generator: Generator, n: int) -> Rows:
    """On 60 % of the rows the student gives the teacher's own words, and its confidence tells where.

    Elsewhere it loses up to half of the score. So it is about 8 points below.
    """
    prompt, same = generator.beta(7, 2, n), generator.random(n) < 0.6
    confidence = np.where(same, generator.beta(20, 2, n), generator.beta(4, 4, n))
    return Rows(prompt, [np.where(same, prompt, prompt * generator.uniform(0.5, 1, n))], confidence)


# Money: prices, volumes and machines, through the product's own arithmetic


def _pays(
    usd_per_call: float, calls_per_day: float, machine_usd_per_hour: float, share_asked: float = 0.0
) -> bool | None:
    """Does it pay to keep machines day and night, and still send `share_asked` of the calls to the prompt, instead of all?"""
    own = 24 * machine_usd_per_hour * machines(calls_per_day, 0.05, 0.5) / calls_per_day + share_asked * usd_per_call
    student = ArmMoney(name="student", fixed_usd=20.0, usd_per_call=own)
    return break_even(student, ArmMoney(name="prompt", fixed_usd=0.0, usd_per_call=usd_per_call)).pays_off


IDLE, CASCADE_IDLE, DEARER = _pays(0.0006, 1500, 0.08), _pays(0.0006, 5000, 0.09, 0.5), _pays(0.0002, 4000, 0.20)


# Curves


EXPONENTIAL = tuple(
    0.85 - 0.35 * math.exp(-n / 400) for n in SIZES
)  # 82.3 % at 1,024 rows, 84.8 % at 2,048, never above 85 %
PLATEAU = (0.60, 0.60, 0.61, 0.61)  # in truth 90 % at 2,048
TWICE = (0.80, 0.92, 0.92, 0.83)  # it rises above the prompt and falls below it again; in truth 80 % at 2,048


@dataclass(frozen=True)
class AnyWorld:
    """Everything is drawn at random, and each draw has an answer of its own.

    The prompt's score, the gap, the number of rows, the classes, how far errors go together, what confidence is worth, and a power law as the curve.
    """

    what: str = "anything: all of it drawn at random, each draw with its own answer"

    def draw(self, generator: Generator) -> tuple[Arms, Answers]:
        prompt = generator.uniform(0.70, 0.95)
        student = min(0.98, prompt + generator.uniform(-0.15, 0.04))
        n_test, rho = int(generator.choice((100, 300, 1000, 3000))), generator.uniform(0, 0.95)
        weights = generator.dirichlet(np.full(generator.integers(2, 9), 2.0))
        mute, blur = generator.random() < 0.5, generator.uniform(0.3, 3)
        drop, power = generator.uniform(0.05, 0.35), generator.uniform(0.3, 1.2)

        def process(source: Generator, n: int) -> Rows:
            shared = source.normal(size=n)
            own, other = (math.sqrt(rho) * shared + math.sqrt(1 - rho) * source.normal(size=n) for _ in range(2))
            ability = special.ndtri(student) - own
            confidence = None if mute else special.ndtr(ability + source.normal(0, blur, n))
            return Rows(
                (other < special.ndtri(prompt)).astype(float),
                [(ability > 0).astype(float)],
                confidence,
                _classes(source, n, weights),
            )

        top = student + drop * (SIZES[-1] / SIZES[0]) ** -power
        curve = tuple(top - drop * (n / SIZES[0]) ** -power for n in (*SIZES, 2 * SIZES[-1]))
        answers = self._answers(process(generator, UNSEEN), student - prompt, curve[-1] - prompt, n_test)
        return Untuned(self.what, process, answers, curves=(curve[:-1],), n_test=n_test).draw(generator)

    def _answers(self, unseen: Rows, gap: float, gap_ahead: float, n_test: int) -> Answers:
        """The right answers. Where the gate's "fail" has a power above one half, these rows decide: to ask for more test rows is then false."""
        if gap > -MARGIN:
            return _answers([DISTIL], [TELL, TEST, CASCADE])
        error = math.sqrt(float((unseen.students[0] - unseen.prompt).var()) / n_test)
        decided = (-gap - MARGIN) / error > special.ndtri(0.95)
        ahead = [TRAINING] if gap_ahead > -MARGIN else []
        return _answers([KEEP, CASCADE, *ahead], [TELL, *([] if decided else [TEST])])


UNTUNED: list[Untuned | AnyWorld] = [
    Untuned("copies the teacher, mistakes and all", _copies, _answers([DISTIL], [TELL, TEST])),
    Untuned(
        "six classes, the teacher mislabels one by a rule; two students",
        _mislabelled_by_rule,
        _answers([FINETUNE], [DISTIL, TELL, TEST]),
        sources=("gold", "teacher"),
        n_test=2000,
    ),
    Untuned("conversations, 8 points below", _conversations(True), _answers([KEEP], [TELL]), n_test=2600),
    Untuned("conversations, as good", _conversations(False), _answers([DISTIL], [TELL, TEST]), n_test=2600),
    Untuned("confidence in three steps, the top one good", _votes, _answers([CASCADE], [TELL, KEEP])),
    Untuned("surest where it is wrong", _surest_where_wrong, _answers([KEEP], [TELL])),
    Untuned(
        "a curve that approaches its end exponentially, short of the prompt",
        _pair(0.90, EXPONENTIAL[-1]),
        _answers([KEEP], [TELL]),
        curves=(EXPONENTIAL,),
        half_step=(_pair(0.90, 0.841), 0.841),
    ),
    Untuned(
        "a plateau, then a rise: there at twice the rows",
        _pair(0.90, 0.61, 0.2),
        _answers([TRAINING], [KEEP, TELL]),
        curves=(PLATEAU,),
    ),
    Untuned("crosses the prompt twice, and ends below", _pair(0.90, 0.83), _answers([KEEP], [TELL]), curves=(TWICE,)),
    Untuned("text scores, as good", _as_good_in_words, _answers([DISTIL], [TELL, TEST]), n_test=800, graded=True),
    Untuned(
        "text scores, nothing right on 12 % of the rows",
        _total_losses,
        _answers([KEEP], [TELL]),
        n_test=500,
        graded=True,
    ),
    Untuned(
        "text scores, verbatim on 60 % of the rows and knows where",
        _verbatim,
        _answers([CASCADE], [TELL, KEEP]),
        graded=True,
    ),
    Untuned(
        "four numbers of examples help, a student as good as the best",
        _examples_help,
        _answers([DISTIL], [TELL, TEST, SHOTS]),
        n_test=2000,
    ),
    Untuned(
        "five numbers of examples do nothing, the student is 8 points below",
        _examples_do_nothing,
        _answers([KEEP], [TELL]),
    ),
    Untuned(
        "as good, but so few calls a day that its machine stands idle",
        _pair(0.90, 0.90, 0.8),
        _answers([KEEP], [TELL, TEST]),
        prices=(IDLE, IDLE),
        n_test=3000,
    ),
    Untuned(
        "dearer, and 5 points better",
        _pair(0.80, 0.85),
        _answers([FINETUNE], [TELL, TEST]),
        sources=("gold",),
        prices=(DEARER, DEARER),
    ),
    Untuned(
        "knows where, but its machine costs more than the calls it keeps",
        _knows_where(0.92, 0.6),
        _answers([KEEP], [TELL]),
        prices=(CASCADE_IDLE, CASCADE_IDLE),
    ),
    Untuned(
        "a quarter of the new inputs only seem easy to it",
        _knows_where(0.92, 0.7, 0.25),
        _answers([KEEP], [TELL, CASCADE]),
        before=_knows_where(0.92, 0.7),
    ),
    Untuned("twenty classes, one of them lost", _lost_class, _answers([KEEP], [TELL]), n_test=2000),
    Untuned("seven classes as 1/k, as good in each", _zipf, _answers([DISTIL], [TELL, TEST]), n_test=3000),
    AnyWorld(),
    Untuned(
        "the exponential curve's twin: four points like its, and there at twice the rows",
        _pair(0.90, EXPONENTIAL[-1]),
        _answers([TRAINING], [KEEP, TELL]),
        curves=(EXPONENTIAL,),
        half_step=(_pair(0.90, 0.852), 0.852),
    ),
]
