"""What was spent once to have a student, and what comes back when it is trained again: labels and machine time."""

from collections.abc import Sequence

from stillhouse.experiment.material import Material
from stillhouse.records import Example
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.verdict.money.known_sum import known_sum


def fixed_usd(material: Material, arm: MeasuredArm) -> float | None:
    """What it took to have this student from here on: the labels it learned and was measured by, and machine time.

    Labels that were there already are not counted.
    """
    labels = 0.0 if were_there(material, arm) else labels_usd(material, arm)
    return known_sum([labels, training_usd(material, arm)])


def were_there(material: Material, arm: MeasuredArm) -> bool:
    """Labels that nobody put a price on: they are spent money, whatever is decided now."""
    return (arm.learns_from in ("gold", None) or material.teacher is None) and material.task.money.label_usd is None


def labels_usd(material: Material, arm: MeasuredArm) -> float | None:
    """The labels that a student learns, is chosen and is tested by, those of the calibration rows among them.

    None where no price is known. Gold labels of rows that measure are free where nobody put a price on them.
    """
    of_gold = material.task.money.label_usd
    measuring = _measuring_usd(material)
    if arm.learns_from in ("gold", None) or material.teacher is None:
        n_labels = (arm.n_train or 0) + len(material.splits.validation)
        return None if of_gold is None else known_sum([of_gold * n_labels, measuring])
    known, bought = _known_and_bought(material, arm)
    # Gold labels without a price were there already.
    gold_usd = (of_gold or 0.0) * len(known)
    return known_sum([gold_usd, _answers_usd(material, bought), measuring])


def unpriced_labels(material: Material, arm: MeasuredArm) -> tuple[float, int]:
    """What its labels cost as far as their price is known, and the number of those that a teacher's call gave."""
    of_gold = material.task.money.label_usd or 0.0
    _, measured_by_teacher = _measuring(material)
    n_gold, n_teacher = 0, len(measured_by_teacher)
    if arm.learns_from in ("gold", None) or material.teacher is None:
        n_gold += (arm.n_train or 0) + len(material.splits.validation)
    else:
        known, bought = _known_and_bought(material, arm)
        n_gold, n_teacher = n_gold + len(known), n_teacher + len(bought)
    return of_gold * (n_gold + len(_measuring(material)[0])), n_teacher


def _known_and_bought(material: Material, arm: MeasuredArm) -> tuple[list[Example], list[Example]]:
    """The rows of its lesson whose gold label it learns, and those that a teacher labelled for it."""
    lesson = material.lesson(arm.learns_from or "teacher", arm.rows)
    rows = [*lesson.train, *lesson.validation]
    known = [row for row in rows if arm.learns_from == "mixed" and row.label is not None]
    return known, [row for row in rows if arm.learns_from != "mixed" or row.label is None]


def _measuring(material: Material) -> tuple[list[Example], list[Example]]:
    """The test and calibration rows that are scored by gold, and those that are scored by the teacher's answer."""
    rows = [*material.splits.test, *material.splits.calibration]
    if material.scored_against == "gold":
        return [row for row in rows if row.label is not None], []
    return [], rows if material.teacher is not None else []


def _measuring_usd(material: Material) -> float | None:
    of_gold, of_teacher = _measuring(material)
    return known_sum([(material.task.money.label_usd or 0.0) * len(of_gold), _answers_usd(material, of_teacher)])


def _answers_usd(material: Material, rows: Sequence[Example]) -> float | None:
    """What the teacher's answers to these rows cost; None where one is not known."""
    answers = material.teacher.by_id if material.teacher is not None else {}
    return known_sum([answers[row.id].cost_usd if row.id in answers else None for row in rows])


def next_label_usd(material: Material, arm: MeasuredArm) -> float | None:
    """One more label of the kind that this student learns from; None where no price is known.

    A student of mixed labels learns more rows with the teacher's: those are what can be bought at once.
    """
    if arm.learns_from in ("gold", None) or material.teacher is None:
        return material.task.money.label_usd
    lesson, answers = material.lesson(arm.learns_from or "teacher", arm.rows), material.teacher.by_id
    paid = [answers[row.id].cost_usd for row in lesson.train if row.id in answers]
    total = known_sum(paid)
    return None if total is None or not paid else total / len(paid)


def training_usd(material: Material, arm: MeasuredArm) -> float | None:
    """The machine's time alone, of every try with every seed; None where its price is not known."""
    money = material.task.money
    per_hour = money.machine_usd_per_hour if money.training_usd_per_hour is None else money.training_usd_per_hour
    return None if per_hour is None else per_hour * training_s(arm) / 3600 * money.tries * money.seeds


def training_s(arm: MeasuredArm) -> float:
    """Seconds of one training; 0 for what is not trained."""
    return arm.training.wall_s if arm.training else 0.0


def renewal_usd(material: Material, arm: MeasuredArm) -> float | None:
    """Training it again: the seeds, with settings that are known by then, and the share of labels that is new.

    New gold labels without a price are unknown.
    """
    money, training = material.task.money, training_usd(material, arm)
    labels = labels_usd(material, arm)
    again = 0.0 if not money.retrain_labels else None if labels is None else labels * money.retrain_labels
    return known_sum([None if training is None else training / money.tries, again])
