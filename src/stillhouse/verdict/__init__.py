"""From measured arms to a verdict: the gates, the cascade, the money, the rules. Pure functions."""
