"""A student before a prompt: the threshold with its promise, and the accuracy and cost over all thresholds."""

from stillhouse.results.record import Dollars, Measured, record


@record(kw_only=True)
class CascadePromise:
    """The threshold with its promise, P(kept and wrong where the teacher is right) <= budget at `level`.

    Where there is no threshold, `refused` says why. `not_served`: why the verdict keeps out one that has a threshold.
    """

    student: str
    teacher: str
    budget: float
    level: float
    n: int  # number of calibration rows, which nothing else used
    threshold: float | None = None
    share_kept: Measured | None = None
    harm: Measured | None = None  # `high` is the one-sided Clopper-Pearson bound
    refused: str | None = None
    rows_missing: int | None = None
    not_served: str | None = None


@record
class ThresholdPoint:
    """The cascade at one confidence threshold, on the same n rows as its curve."""

    threshold: float
    share_kept: float
    accuracy: float
    cost_usd_per_1000: Dollars | None = None


@record(kw_only=True)
class ThresholdCurve:
    """Accuracy, share kept and cost against the threshold. The two parts alone are the dashed lines of the plot."""

    student: str
    teacher: str
    n: int
    points: tuple[ThresholdPoint, ...]
    arm: str = "cascade"  # the cascade's name among the arms
    student_accuracy: float | None = None
    teacher_accuracy: float | None = None

    @property
    def best_of_both(self) -> ThresholdPoint | None:
        """The point of highest accuracy, where that is above both parts'; None where no point is.

        It is picked on the rows that it is shown on, so it flatters.
        """
        if self.student_accuracy is None or self.teacher_accuracy is None:
            return None
        parts = max(self.student_accuracy, self.teacher_accuracy)
        above = [point for point in self.points if point.accuracy > parts and 0 < point.share_kept < 1]
        return max(above, key=lambda point: point.accuracy, default=None)
