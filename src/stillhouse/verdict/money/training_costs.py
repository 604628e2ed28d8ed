"""What was spent once to have a student, and what comes back when it is trained again: labels and machine time."""

from stillhouse.experiment.material import Material
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.verdict.money.known_sum import known_sum


def fixed_usd(material: Material, arm: MeasuredArm) -> float | None:
    """What it took to have this student from here on: the labels it learned and chose by, and the machine's time.

    Labels that were there already are not counted.
    """
    labels = 0.0 if were_there(material, arm) else labels_usd(material, arm)
    return known_sum([labels, training_usd(material, arm)])


def were_there(material: Material, arm: MeasuredArm) -> bool:
    """Labels that nobody put a price on: they are spent money, whatever is decided now."""
    return (arm.learns_from in ("gold", None) or material.teacher is None) and material.task.money.label_usd is None


def labels_usd(material: Material, arm: MeasuredArm) -> float | None:
    """The labels alone, those that a student learns and is chosen by; None where no price is known."""
    of_gold = material.task.money.label_usd
    if arm.learns_from in ("gold", None) or material.teacher is None:
        n_labels = (arm.n_train or 0) + len(material.splits.validation)
        return None if of_gold is None else of_gold * n_labels
    lesson, answers = material.lesson(arm.learns_from or "teacher", arm.rows), material.teacher.by_id
    rows = [*lesson.train, *lesson.validation]
    known = [row for row in rows if arm.learns_from == "mixed" and row.label is not None]
    bought = [row for row in rows if arm.learns_from != "mixed" or row.label is None]
    # Gold labels without a price were there already.
    gold_usd = (of_gold or 0.0) * len(known)
    return known_sum([gold_usd, *(answers[row.id].cost_usd if row.id in answers else None for row in bought)])


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
