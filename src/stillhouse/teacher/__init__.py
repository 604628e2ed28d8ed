"""The teacher's work: labels and rationales for the rows of the user, and new rows; each reply is paid for once."""
