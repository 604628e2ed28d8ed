"""Measuring: any predictor on any rows, with metrics, intervals, paired comparisons and the gate."""
