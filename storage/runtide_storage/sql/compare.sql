-- Statements of compare.py. {runs}: integers.

-- summaries --
SELECT key, project, run_id, run, metric, goal, n, nonfinite, first, first_step, last, last_step, min, min_step, max, max_step,
    mean, best, best_step
FROM keyed_summaries WHERE key IN ({runs}) AND ({{all:Bool}} OR metric IN {{metrics:Array(String)}})
ORDER BY metric, project, run_id
