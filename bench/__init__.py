"""Benchmark and profile neural-network architecture variants, with numbers one can trust."""
