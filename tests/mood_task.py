"""The small task that many tests share: is a day good or bad. A test adds its own [teacher], and what else it needs, behind it."""

MOOD = """
[task]
name = "mood"
instruction = "Is it good?"
output = "choice"
labels = ["good", "bad"]

[data]
train = "rows.jsonl"
"""
