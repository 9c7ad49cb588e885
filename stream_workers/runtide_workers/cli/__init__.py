"""The whole command line, for an install with the server's packages; `runtide.cli` is the door to it."""
