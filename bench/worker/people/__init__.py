"""Articulated people, drawn: sampled from a counter hash and rendered exactly, so that sample i never changes."""
