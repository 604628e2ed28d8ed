"""The teacher's work: labels and rationales for the user's rows, paid for once."""
