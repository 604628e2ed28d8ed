"""Datasets on disk and how they are split: rows are refused where they break the contract, and where they leak."""
