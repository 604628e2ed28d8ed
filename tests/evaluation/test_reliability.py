"""Calibration error three ways: scikit-learn's curve, the definition, and systems that are as often right as they say, or are not."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from stillhouse.evaluation.proportions import clopper_pearson
from stillhouse.evaluation.reliability import expected_calibration_error, reliability_bins


def drawn(n, seed, off=0.0):
    """Confidences from 0.3 to 1, right with that probability less `off`."""
    generator = np.random.default_rng(seed)
    confidences = generator.uniform(0.3, 1.0, n)
    return confidences, generator.random(n) < confidences - off


def test_bins_are_scikit_learns():
    confidences, right = drawn(500, 0)
    accuracy, mean = calibration_curve(right, confidences, n_bins=10, strategy="uniform")
    bins = reliability_bins(confidences, right)
    assert [one.accuracy.value for one in bins] == pytest.approx(accuracy.tolist())
    assert [one.confidence for one in bins] == pytest.approx(mean.tolist())
    n = np.histogram(confidences, np.linspace(0, 1, 11))[0]
    assert expected_calibration_error(bins) == pytest.approx((np.abs(accuracy - mean) * n[n > 0]).sum() / 500)


def test_the_error_is_the_mean_distance_of_a_rows_bin():
    """Two rows at 0.9, one right: off by 0.4. One at 1.0, right: off by 0. One at 0.05, wrong: off by 0.05."""
    bins = reliability_bins([0.9, 0.9, 0.05, 1.0], [True, False, False, True])
    assert [(one.low, one.high, one.accuracy.n) for one in bins] == [(0.0, 0.1, 1), (0.9, 1.0, 3)]
    assert expected_calibration_error(bins) == pytest.approx((3 * abs(2.8 / 3 - 2 / 3) + 0.05) / 4)
    assert (bins[1].accuracy.low, bins[1].accuracy.high) == clopper_pearson(2, 3)
    with pytest.raises(ValueError, match="no row"):
        expected_calibration_error([])


def test_an_honest_system_errs_by_chance_alone_and_a_boastful_one_by_what_it_boasts():
    """Seven bins of 20,000 / 7 rows, each mean off by at most 0.5 / sqrt(2,857) = 0.009 in one standard error."""
    assert expected_calibration_error(reliability_bins(*drawn(20_000, 1))) < 0.012
    assert expected_calibration_error(reliability_bins(*drawn(20_000, 2, off=0.2))) == pytest.approx(0.2, abs=0.012)
    few = np.mean([expected_calibration_error(reliability_bins(*drawn(50, seed))) for seed in range(200)])
    assert few > 0.06  # fifty rows: far above 0, though the system is honest
