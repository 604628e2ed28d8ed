"""Draws what was measured and found: self-contained HTML pages, plots as SVG, and tables for the terminal.

The values come from `results`, and of a flow's runs from `flow.trace`; no number is computed here.
"""
