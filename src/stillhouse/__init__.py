"""Stillhouse: keep the prompt, add examples, finetune, or distil? Measured on your own data, proven, served, and put into your app."""

__version__ = "0.1.0"
