"""Students in float32, whatever the processor: in bfloat16 their numbers differ in the fourth digit."""

import importlib.util

import pytest


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """No hardware here multiplies bfloat16. A test that wants some says so after this."""
    if importlib.util.find_spec("torch") is not None:
        import torch

        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
