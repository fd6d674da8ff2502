"""Reward benchmarks applied: items, metrics, score files, models scored."""
