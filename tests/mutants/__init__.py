"""Do the tests bite? `mutants.toml` lists rules and how each may be broken; `run` breaks them one by one and sees whether a test notices."""
