"""Benchmarks: one file each, one runner, and the honest controls beside every policy."""
