"""The tests of a flow: its cases, its parts, and what an error comes from."""
