"""Students in float32, whatever the processor: one with AMX answers in bfloat16, and its numbers differ in the fourth digit."""

import importlib.util

import pytest


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    if importlib.util.find_spec("torch") is not None:
        from stillhouse.student import train

        monkeypatch.setattr(train, "bf16_is_native", lambda: False)
