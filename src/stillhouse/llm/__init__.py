"""Large models: one way to call them, whoever serves them, with every paid call stored, limited and metered."""
