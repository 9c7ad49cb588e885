"""The pages: a runs table, overlaid curves, the pipeline's health. `python -m runtide_dashboard` serves them."""
