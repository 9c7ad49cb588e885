"""Live regression detection: which runs are followed, what they are compared with, and who is told."""
