"""Two systems judged answer against answer, blind, by people, a judge model or both."""
