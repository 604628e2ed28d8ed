"""How long a student's training takes, told from a trial on a few rows. Importable without torch."""

from dataclasses import dataclass

from stillhouse.student.config import TrainConfig


@dataclass(frozen=True)
class Pace:
    """A trial: one pass over `n_rows` rows in `train_s` seconds and `steps` steps; `answer_s` for one row's answer.

    `config`: of the trainings to come; None: the student is not trained in passes.
    """

    n_rows: int
    train_s: float
    steps: int
    answer_s: float
    config: TrainConfig | None

    def seconds(self, n: int, n_validation: int, n_test: int) -> float:
        """Of training on `n` rows, with its validations, and of answering the test rows."""
        of_row = self.train_s / self.n_rows
        if self.config is None:
            return max(self.train_s, of_row * n) + self.answer_s * (n_validation + n_test)
        training = max(of_row * n * self.config.epochs, self.config.min_steps * self.train_s / max(1, self.steps))
        passes = training / (of_row * n) if of_row * n else self.config.epochs
        validations = min(self.config.max_validations, max(1, round(passes * self.config.validations_per_epoch)))
        return training + self.answer_s * (n_validation * validations + n_test)
