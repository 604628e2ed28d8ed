"""A package only so that `python -m tests.mutants` is this repository's: an installed distribution has a `tests` of its own."""
