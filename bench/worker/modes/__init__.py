"""Execution modes: one file, one mode."""
