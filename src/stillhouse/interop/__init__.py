"""Other people's frameworks on what Stillhouse has: students as their models, our journal under their agents.

One package per framework.
"""
