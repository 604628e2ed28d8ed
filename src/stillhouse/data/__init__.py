"""Datasets on disk and how they are split: the rows a user brings, refused where they break the contract."""
