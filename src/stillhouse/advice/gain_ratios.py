"""Made by `python -m bench.gains figures`: how often curves of real tasks gained a wanted share of their last gain.

Shares of points of the learning curves behind Le Scao & Rush 2021 (2103.08493), at each of `reach.RATIOS`. A point is
a size at which the last doubling gained something. `GO_ON` and `FOUND` are of those with a size between n and 2n.
`AFTER_GOING_ON`: of points and ratios at which the half step said to go on, the share that the doubling reached.
"""

REACH = (0.847, 0.815, 0.788, 0.741, 0.677, 0.64, 0.582, 0.497, 0.455, 0.407, 0.354)
GO_ON = (0.0, 0.02, 0.087, 0.1, 0.113, 0.16, 0.153, 0.147, 0.173, 0.173, 0.187)
FOUND = (0.713, 0.66, 0.633, 0.573, 0.533, 0.513, 0.467, 0.44, 0.387, 0.347, 0.293)
AFTER_GOING_ON, N_WENT_ON = 0.701, 70
N_POINTS, N_HALF_STEPS, N_TASKS = 189, 150, 6
