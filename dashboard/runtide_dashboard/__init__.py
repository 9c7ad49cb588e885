"""The pages: a runs table, curves laid over each other, and the pipeline's health. Start them with `python -m runtide_dashboard`."""
