"""`runtide reproduce`: a recorded run again, from its commit, its uncommitted changes, packages, data and seeds."""
