"""Runtide and other trackers side by side. `python -m benchmarks.peers` (see `__main__`)."""
