"""The bound on any valid test's power in bench/group_tests.py."""

import numpy as np
import pytest
from bench.group_tests import ERROR, most_power


def test_where_groups_without_a_loss_are_likely_at_the_margin_no_test_can_pass_often():
    """One row a group: at a margin of 5 % a loss is missed by 60 rows in 0.95^60 = 4.6 % of the draws."""
    assert most_power(60, 1.0, 1.0, 0.05) == pytest.approx(ERROR / 0.95**60)
    assert most_power(63, 1.0, 1.0, 0.05) == 1.0  # 0.95^63 is below 4 %


def test_the_world_behind_it_is_worse_by_exactly_the_margin():
    margin, cap, mean_size = 0.03, 12.0, 6.5
    rate = margin * mean_size / ((1 - margin) * cap + margin * mean_size)
    assert -rate * cap / (rate * cap + (1 - rate) * mean_size) == pytest.approx(-margin)
    assert most_power(160, mean_size, cap, margin) == pytest.approx(ERROR / (1 - rate) ** 160)
    assert np.all(np.diff([most_power(n, mean_size, cap, margin) for n in (40, 80, 160)]) > 0)
