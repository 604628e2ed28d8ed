"""One module per command: load, call the stages, write a run. The command line is a thin skin over these; a library user calls them directly."""
