"""Advice: from measured arms to a verdict: learning curves, the crossover with the prompt, the money, and the rules that weigh them."""
