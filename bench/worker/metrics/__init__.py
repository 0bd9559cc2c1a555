"""Accuracy metrics: one file, one metric."""
