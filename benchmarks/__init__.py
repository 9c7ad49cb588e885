"""Measurements: `python -m benchmarks.<name> [--json]`. Each starts what it needs and leaves nothing behind."""
