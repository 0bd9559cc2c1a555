"""Measures: one file, one measure."""
