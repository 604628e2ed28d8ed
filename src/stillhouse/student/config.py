"""Settings of the training loop. Importable without torch, so that a command line or a task file can make them."""

from dataclasses import dataclass
from typing import Literal

from stillhouse.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training. These defaults suit a pretrained encoder; other families have their own.

    `min_steps` trains small sets for longer: Mosbach et al. 2021 (2006.04884) find that failed finetunings had too
    few steps, not too few rows.
    """

    epochs: float = 3.0
    min_steps: int = 0
    learning_rate: float = 1e-4  # the peak, reached after the warmup
    tokens_per_batch: int = 1024  # padding included; a longer row is a batch of its own
    schedule: Literal["cosine", "linear"] = "linear"
    warmup: float = 0.06  # share of all steps that are warmup
    weight_decay: float = 0.01  # on matrices; biases, norms and other vectors are never decayed
    clip: float = 1.0  # largest gradient norm
    betas: tuple[float, float] = (0.9, 0.999)
    label_smoothing: float = 0.0
    max_length: int = 256  # most tokens of one input; a longer one is cut, and counted in TrainResult
    validations_per_epoch: float = 1.0
    # Most validations in one training: with few rows, validating every epoch would cost more than training.
    max_validations: int = 20
    patience: int | None = None  # validations without a gain before stopping; None: train to the end
    bf16: bool | None = None  # whether to train in bfloat16; None: where the hardware multiplies it natively
    checkpoint_every_s: float = 120.0

    def __post_init__(self) -> None:
        """Refuse values that cannot train, whoever set them (task file, command line, code)."""
        if self.schedule not in ("cosine", "linear"):
            raise UserError(f"schedule = {self.schedule!r} is not known; use 'cosine' or 'linear'")
        sizes = ("epochs", "learning_rate", "tokens_per_batch", "clip", "max_length")
        for name in (*sizes, "validations_per_epoch", "max_validations"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} = {getattr(self, name)} must be greater than 0")
        for name in ("warmup", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} = {getattr(self, name)} must be at least 0 and less than 1")
