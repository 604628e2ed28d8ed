"""Is a system right as often as it says? Confidence beside accuracy, in bins of equal width, and the calibration error.

The expected calibration error is that of Naeini, Cooper & Hauskrecht 2015 ("Obtaining well calibrated probabilities
using Bayesian binning"), as Guo et al. 2017 (1706.04599, section 2) use it: the mean over rows of the distance between
their bin's mean confidence and its accuracy. It is above 0 by chance alone, the more so the fewer rows a bin holds.
"""

from collections.abc import Sequence

from stillhouse.evaluation.proportions import clopper_pearson
from stillhouse.records import Estimate
from stillhouse.results.error_analysis import ReliabilityBin

N_BINS = 10


def reliability_bins(
    confidences: Sequence[float], right: Sequence[bool], n_bins: int = N_BINS
) -> tuple[ReliabilityBin, ...]:
    """The bins that hold a row, in order. Confidences run from 0 to 1."""
    inside: list[list[int]] = [[] for _ in range(n_bins)]
    for index, confidence in enumerate(confidences):
        inside[min(int(confidence * n_bins), n_bins - 1)].append(index)
    bins = []
    for number, rows in enumerate(inside):
        if not rows:
            continue
        n, hits = len(rows), sum(right[index] for index in rows)
        accuracy = Estimate(hits / n, n, *clopper_pearson(hits, n), 0.95, "Clopper-Pearson")
        mean = sum(confidences[index] for index in rows) / n
        bins.append(ReliabilityBin(number / n_bins, (number + 1) / n_bins, mean, accuracy))
    return tuple(bins)


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """The mean over all rows of |mean confidence - accuracy| of their bin. Raises ValueError without a row."""
    n = sum(bin_.accuracy.n for bin_ in bins)
    if n == 0:
        raise ValueError("no row has a confidence")
    return sum(abs(bin_.confidence - bin_.accuracy.value) * bin_.accuracy.n for bin_ in bins) / n
