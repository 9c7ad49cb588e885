"""Training scripts as a user would write them: real models, real data inside scikit-learn, one `run.log` a step."""
