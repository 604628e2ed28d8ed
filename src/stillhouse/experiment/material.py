"""What `advise` and `distill` work on: the task's rows, with the teacher's answers beside the gold labels.

And the rules for whose labels are learned, and whose labels score the test rows.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stillhouse.consent import Bulk, OneConsent, Shown
from stillhouse.data.dataset import label_set, with_teacher
from stillhouse.data.splits import Splits, load_splits
from stillhouse.doubts import Doubt, Warned, in_order
from stillhouse.errors import BudgetError, UserError
from stillhouse.evaluation.metrics import Metric, metric_for
from stillhouse.experiment.answers_in_rows import model_in_rows
from stillhouse.experiment.calibration_rows import calibration_rows
from stillhouse.experiment.gold_queries import with_sound_queries
from stillhouse.experiment.held_out import refuse_copies
from stillhouse.experiment.readiness import check_lesson
from stillhouse.experiment.rows_without_gold import how_others_differ
from stillhouse.experiment.training_sets import LEAST_ROWS, Labels, Lesson, lessons_of
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.models import later_calls
from stillhouse.llm.purse import Purse
from stillhouse.numbers import usd_as_given
from stillhouse.records import Example, Prediction, Source
from stillhouse.results.look import Look
from stillhouse.session import DEFAULT_SESSION, Session
from stillhouse.task import Task
from stillhouse.teacher.annotate import LabelReport, annotate
from stillhouse.teacher.terms import require_terms

IN_THE_DATA = "teacher_label in the data"  # the teacher's name where the rows bring its answers and not its name


@dataclass(frozen=True)
class TeacherAnswers:
    """The teacher's answer to every row it was asked, by id."""

    name: str
    by_id: Mapping[str, Prediction]
    report: LabelReport | None  # None: the answers came with the rows

    def on(self, examples: Sequence[Example]) -> list[Prediction]:
        return [self.by_id[example.id] for example in examples]

    @property
    def stand_in(self) -> bool:
        return self.report is not None and self.report.stand_in


@dataclass(frozen=True, kw_only=True)
class Material:
    """One task, ready to be measured.

    `learn_from`: whose labels the students learn; `scored_against`: whose labels the test rows are scored by.
    """

    task: Task
    splits: Splits
    metric: Metric
    labels: tuple[str, ...] | None  # the classes; None: choices per row, or open output
    learn_from: Source
    scored_against: Source
    teacher: TeacherAnswers | None
    doubts: tuple[Warned, ...]  # what may make the verdict wrong
    lessons: tuple[Lesson, ...]  # what students learn from; one of the lessons is the task's own
    notes: tuple[str, ...] = ()  # what was done with the rows
    # Set where the run takes its look at the test rows (`experiment.looks`); `task.gate.level` is then the look's.
    look: Look | None = None
    next_level: float | None = None  # of a further look at these rows, for planning; None: the same level
    cascade_level: float | None = None  # of the promise on the calibration rows; None: the gate's
    session: Session = DEFAULT_SESSION  # whose consent holds for the whole command
    later: tuple[Bulk | None, ...] = ()  # what the command pays for after the labels
    purse: Purse = field(default_factory=Purse)  # of the whole command
    n_students: int = 0  # the students that were gated together at this look, where a run repeats another's

    @property
    def warnings(self) -> tuple[str, ...]:
        """The doubts as sentences, the heaviest first."""
        return in_order(self.doubts)

    @property
    def own_lesson(self) -> Lesson:
        """The lesson that the task asks for, on the splits' training rows; the others are there for comparison."""
        return next(lesson for lesson in self.lessons if lesson.train is self.splits.train)

    def lesson(self, source: Source, rows: str) -> Lesson:
        return next(lesson for lesson in self.lessons if (lesson.source, lesson.rows) == (source, rows))

    def agree_to_the_rest(self) -> None:
        """Ask about what the command will pay for after the labels, where the labels were there and asked nobody.

        Raises what the session's consent raises.
        """
        consent = self.session.asks
        if isinstance(consent, OneConsent) and self.teacher is not None:
            told = [len(answer.output.encode()) for answer in self.teacher.by_id.values() if answer.output is not None]
            consent.ask_alone(Shown(sum(told) / len(told) if told else None))

    @property
    def calibration(self) -> list[Example]:
        """The rows that the cascade's threshold is chosen on."""
        return calibration_rows(self.splits.calibration, self.scored_against)


async def prepare(
    task: Task,
    session: Session,
    *,
    skip_bad: bool = False,
    every_lesson: bool = False,
    sizes: Sequence[int] | None = None,
    drop_overlap: bool = False,
    later: Callable[[Splits], Sequence[Bulk | None]] = lambda splits: (),
) -> Material:
    """Load and split the rows, and ask the teacher for what the comparison needs. `task` as the session opened it.

    Asked for are the test and calibration rows, and the rows that students learn from. A named teacher is asked for all
    of them (what is in the store costs nothing again); without one, rows that carry `teacher_label` bring their own.
    `every_lesson`: where the task leaves open what to learn from, the teacher is asked for the rows with gold labels
    too, as far as the cap allows. Where the session has a `consent`, an endpoint that bills is asked more than a pilot
    of twenty rows only if it says yes to what they will cost. `sizes`: training sizes that there have to be rows for.
    `drop_overlap`: as in `load_splits`. `later`: what the command will pay for after this; consent is to that, too.
    """
    splits = load_splits(task, skip_bad=skip_bad, drop_overlap=drop_overlap)
    refuse_copies(splits)
    splits = _with_sound_gold(task, splits)
    learn_from = _learn_from(task, splits)
    check_lesson(task, splits, learn_from, sizes=sizes)
    scored_against: Source = "gold" if any(row.label is not None for row in splits.test) else "teacher"
    wanted = [*splits.test, *splits.calibration, *(row for rows in splits.also_test.values() for row in rows)]
    # step_by_step trains on gold labels and on the teacher's reasons.
    trains = learn_from != "gold" or task.student.recipe == "step_by_step"
    if trains:
        learned = [*splits.train, *splits.validation, *splits.unlabelled]
        wanted += [row for row in learned if learn_from != "mixed" or row.label is None]
    if task.student.soft_targets and learn_from == "gold" and not every_lesson:
        raise UserError(
            f"{task.path or task.name}: soft_targets are the teacher's, and gold labels are learned; "
            'set learn_from = "teacher" in [student]'
        )
    name = session.teacher or task.teacher.model
    # Training on a teacher's answers needs leave, being compared with the teacher does not.
    if name is not None and trains:
        require_terms(name, task.folder)
    purse = Purse(Ledger(task.teacher.max_usd))
    every_lesson = every_lesson and task.student.learn_from == "auto"
    further = None
    if every_lesson and learn_from == "gold" and name is not None:
        n_further = len(_not_asked(splits, {row.id for row in wanted})) * task.teacher.samples
        further = _more_labels(name, task, n_further)
    to_come = tuple(later(splits))
    session = session.before(further, *to_come)
    answers = await _ask(name, task, wanted, session, purse)
    session.begins(further)
    if answers is None and (scored_against == "teacher" or learn_from != "gold"):
        raise UserError(
            f"{task.path or task.name}: rows lack gold labels and no teacher is named; "
            "set `model` in [teacher], or label the rows"
        )
    notes: list[str] = []
    if every_lesson and learn_from == "gold" and answers is not None:
        answers, notes = await _ask_for_lessons(name, task, splits, answers, session, purse)
    read, labels_by = splits, _labels_by(answers)
    splits, doubts = _with_answers(task, splits, labels_by, answers, learn_from, scored_against)
    lessons: tuple[Lesson, ...] = (Lesson(learn_from, splits.train, splits.validation),)
    if every_lesson and not notes and (answers is not None or any(row.teacher_label for row in read.train)):
        lessons, notes = lessons_of(task, lessons[0], read, labels_by)
    known = [*splits.train, *splits.validation, *splits.calibration, *splits.test]
    per_row = any(row.choices for row in known)
    labels = label_set(known, task) if task.output == "choice" and not per_row else None
    return Material(
        task=task,
        splits=splits,
        metric=metric_for(task),
        labels=labels,
        learn_from=learn_from,
        scored_against=scored_against,
        teacher=answers,
        doubts=(*doubts, *splits.doubts),
        notes=(*notes, *splits.notes),
        lessons=lessons,
        purse=purse,
        session=session,
        later=to_come,
    )


def lessons_to_come(task: Task, splits: Splits, *, asks: bool) -> tuple[Lesson, ...]:
    """The lessons of `prepare` with `every_lesson`, as they will be if each row that is asked gets a usable answer.
    `asks`: there is a teacher to ask.

    The teacher's labels in them stand for those to come: gold ones, or the task's labels in turn.
    """
    learn_from, turns = _learn_from(task, splits), itertools.cycle(task.labels or ("an answer",))
    rows = [*splits.train, *splits.validation, *splits.unlabelled]
    labels: Labels = {row.id: (row.teacher_label or row.label or next(turns), None, None) for row in rows}
    train = splits.train + (splits.unlabelled if learn_from != "gold" else [])
    learned, validation = (
        [row for row in with_teacher(part, labels) if row.target(learn_from) is not None]
        for part in (train, splits.validation)
    )
    own = Lesson(learn_from, learned, validation)
    if task.student.learn_from != "auto" or not (asks or any(row.teacher_label for row in splits.train)):
        return (own,)
    return lessons_of(task, own, splits, labels)[0]


def _with_sound_gold(task: Task, splits: Splits) -> Splits:
    """The rows without the gold queries that do not run. Raises UserError where none of the test rows' runs."""
    if task.metric != "sql_execution":
        return splits
    names = ("train", "validation", "calibration", "test")
    parts = {
        name: with_sound_queries(task, getattr(splits, name), f"{name} rows", needed=name == "test") for name in names
    }
    also = {
        name: with_sound_queries(task, rows, f"rows of {name}", needed=False) for name, rows in splits.also_test.items()
    }
    return replace(
        splits,
        train=parts["train"].rows,
        validation=parts["validation"].rows,
        calibration=parts["calibration"].rows,
        test=parts["test"].rows,
        also_test={name: checked.rows for name, checked in also.items()},
        doubts=[
            *splits.doubts,
            *(warned for checked in (*parts.values(), *also.values()) for warned in checked.doubts),
        ],
    )


def _learn_from(task: Task, splits: Splits) -> Source:
    """The task's own word; "auto" is gold where rows to choose by have it, and enough of those to train on."""
    wanted = task.student.learn_from
    if wanted == "auto":
        n_train, n_validation = (
            sum(row.label is not None for row in part) for part in (splits.train, splits.validation)
        )
        return "gold" if n_validation and n_train >= min(LEAST_ROWS, len(splits.train)) else "teacher"
    return wanted


async def _ask(
    name: str | None, task: Task, wanted: Sequence[Example], session: Session, purse: Purse
) -> TeacherAnswers | None:
    if name is not None:
        with purse.paying_for("labels"):
            predictions, report = await annotate(task, wanted, session, purse.ledger)
        if report.stand_in:
            purse.was_free("labels")
        by_id = {row.id: prediction for row, prediction in zip(wanted, predictions, strict=True)}
        return TeacherAnswers(name, by_id, report)
    if any(row.teacher_label is not None for row in wanted):
        return TeacherAnswers(model_in_rows(wanted) or IN_THE_DATA, {row.id: _own_answer(row) for row in wanted}, None)
    return None


async def _ask_for_lessons(
    name: str | None,
    task: Task,
    splits: Splits,
    answers: TeacherAnswers,
    session: Session,
    purse: Purse,
) -> tuple[TeacherAnswers, list[str]]:
    """(the answers, with those to the rows that students learn from; why there are none of these).

    They are asked for where what is left of the cap pays for them, and the user says yes.
    """
    wanted = _not_asked(splits, answers.by_id)
    if name is not None and wanted:
        require_terms(name, task.folder)
    try:
        further = await _ask(name, task, wanted, session, purse)
    except BudgetError as refused:
        if task.teacher.max_usd is None:
            return answers, [f"no student on teacher labels: {refused}"]
        passes = f"labelling {len(wanted):,} rows would pass the cap of {usd_as_given(task.teacher.max_usd)}"
        return answers, [f"no student on teacher labels: {passes}; raise max_usd"]
    if further is None:
        return answers, []
    by_id, report = {**answers.by_id, **further.by_id}, _joined(answers.report, further.report)
    return replace(answers, by_id=by_id, report=report), []


def _not_asked(splits: Splits, asked: Container[str]) -> list[Example]:
    return [row for row in (*splits.train, *splits.validation, *splits.unlabelled) if row.id not in asked]


def _more_labels(name: str, task: Task, n: int) -> Bulk | None:
    """The labels that are asked for after the first ones, each at about the price of those."""
    bulk = later_calls(name, task.teacher, n, lambda answer: answer)
    return None if bulk is None else replace(bulk, cost=lambda shown: _times(shown, n))


def _times(shown: Shown, n: int) -> float | None:
    return None if shown.usd_per_call is None else n * shown.usd_per_call


def _joined(first: LabelReport | None, second: LabelReport | None) -> LabelReport | None:
    if first is None or second is None:
        return first or second
    names = ("n", "labelled", "lenient", "from_store", "batched", "sent_back", "repaired", "with_scores")
    counts = {name: getattr(first, name) + getattr(second, name) for name in (*names, "n_cost_unknown")}
    cost_usd = None if first.cost_usd is None or second.cost_usd is None else first.cost_usd + second.cost_usd
    rejected = dict((Counter(first.rejected) + Counter(second.rejected)).most_common())
    doubts = dict((Counter(first.usage_doubts) + Counter(second.usage_doubts)).most_common())
    snapshot, price = first.price_snapshot or second.price_snapshot, first.price or second.price
    joined = replace(first, **counts, cost_usd=cost_usd, rejected=rejected, usage_doubts=doubts)
    return replace(joined, price_snapshot=snapshot, price=price)


def _labels_by(answers: TeacherAnswers | None) -> Labels:
    if answers is None:
        return {}
    return {id_: (answer.output, answer.rationale, answer.scores) for id_, answer in answers.by_id.items()}


def _own_answer(row: Example) -> Prediction:
    error = "no teacher_label in the data" if row.teacher_label is None else None
    return Prediction(
        row.teacher_label, source="teacher", rationale=row.teacher_rationale, scores=row.teacher_scores, error=error
    )


def _with_answers(
    task: Task,
    splits: Splits,
    labels: Labels,
    answers: TeacherAnswers | None,
    learn_from: Source,
    scored_against: Source,
) -> tuple[Splits, list[Warned]]:
    """(the splits with the teacher's labels beside the gold ones, warnings).

    Rows that cannot be learned from or scored are left out; a warning says how many.
    """
    train = splits.train + (splits.unlabelled if learn_from != "gold" else [])
    whole = {"train": train, "validation": splits.validation, "calibration": splits.calibration, "test": splits.test}
    parts = {part: with_teacher(rows, labels) for part, rows in whole.items()}
    also = {name: with_teacher(rows, labels) for name, rows in splits.also_test.items()}
    warnings: list[Warned] = []
    if scored_against == "teacher":
        for rows_of, names in ((parts, ("calibration", "test")), (also, tuple(also))):
            for name in names:
                checked = with_sound_queries(task, rows_of[name], f"{name} rows", of="teacher")
                rows_of[name], warnings = checked.rows, [*warnings, *checked.doubts]
    if gold_unused := _gold_not_learned(task, splits, learn_from):
        warnings.append(gold_unused)
    of_parts = {"train": learn_from, "validation": learn_from, "calibration": scored_against, "test": scored_against}
    for part, source in of_parts.items():
        kept = [row for row in parts[part] if row.target(source) is not None]
        if dropped := len(parts[part]) - len(kept):
            reasons = "" if source == "gold" else _reasons(answers, parts[part])
            have, were = ("has", "was") if dropped == 1 else ("have", "were")
            unusable = f"{dropped:,} of {len(parts[part]):,} {part} rows {have} no usable {NAMES[source]}"
            sentence = f"{unusable} and {were} left out{reasons}{_instead(part, source)}"
            share = dropped / len(parts[part])
            warnings.append(Warned(LEFT_OUT.get(part, Doubt.ROWS_NOT_LEARNED), sentence, share))
            if (part, source) == ("test", "gold"):
                differ = how_others_differ(parts[part], answers is not None)
                warnings += [Warned(Doubt.OTHERS_DIFFER, said, share) for said in differ]
        parts[part] = kept
    also = {name: [row for row in rows if row.target(scored_against) is not None] for name, rows in also.items()}
    filled = replace(
        splits,
        train=parts["train"],
        validation=parts["validation"],
        calibration=parts["calibration"],
        test=parts["test"],
        unlabelled=[],
        also_test={name: rows for name, rows in also.items() if rows},
    )
    return filled, warnings


LEFT_OUT = {"test": Doubt.TEST_ROWS_LEFT_OUT, "calibration": Doubt.CALIBRATION_ROWS_LEFT_OUT}
NAMES: Mapping[Source, str] = {"gold": "gold label", "teacher": "teacher label", "mixed": "label"}


def _gold_not_learned(task: Task, splits: Splits, learn_from: Source) -> Warned | None:
    """Where the task leaves open what to learn from, and gold labels are there and not learned: why."""
    n_gold, n = sum(row.label is not None for row in splits.train), len(splits.train)
    if task.student.learn_from != "auto" or learn_from != "teacher" or not n_gold:
        return None
    why = f"it takes {LEAST_ROWS}"
    if not any(row.label is not None for row in splits.validation):
        why = "no validation row has one to choose a student by"
    labels = "a gold label, which is not learned" if n_gold == 1 else "gold labels, which are not learned"
    has = "has" if n_gold == 1 else "have"
    instead = 'learn_from = "mixed" in [student] learns gold labels where there are any'
    return Warned(
        Doubt.ROWS_NOT_LEARNED, f"{n_gold:,} of {n:,} train rows {has} {labels}: {why}; {instead}", n_gold / n
    )


def _instead(part: str, source: Source) -> str:
    """What would use training rows that have no gold label."""
    if (part, source) != ("train", "gold"):
        return ""
    return '; learn_from = "mixed" in [student] learns the teacher\'s labels on them'


def _reasons(answers: TeacherAnswers | None, rows: Sequence[Example]) -> str:
    if answers is None:
        return ""
    errors = (answers.by_id[row.id].error for row in rows if row.id in answers.by_id)
    counts = Counter(error for error in errors if error)
    reasons = ", ".join(f"{reason}: {count}" for reason, count in counts.most_common(3))
    return f" ({reasons})" if counts else ""
