"""Flows run in a folder of their own, where their journal is."""

import pytest


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
