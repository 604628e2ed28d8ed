"""One module per command: what the command does, as a function; `cli` prints it."""
