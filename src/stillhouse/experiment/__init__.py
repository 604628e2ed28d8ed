"""What is run to reach a verdict: rows with their labels, training sets, arms, examples in the prompt, controls."""
