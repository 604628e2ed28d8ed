"""Learning curves, where they cross, and the data advantage. Pure: from scores to sizes."""
