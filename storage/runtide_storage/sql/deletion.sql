-- Statements of deletion.py. {runs} is put in by it: integers.

-- known --
SELECT DISTINCT run FROM deletions WHERE run IN ({runs})

-- names --
SELECT DISTINCT project, run_id FROM deletions WHERE run IN ({runs})

-- buried --
-- What was deleted, by what people type: project/run_id, or the run id alone.
SELECT run AS key, project, run_id, at, who, reason FROM deletions FINAL
WHERE concat(project, '/', run_id) = {{ref:String}} OR run_id = {{ref:String}} ORDER BY at

-- alerts --
SELECT DISTINCT id FROM alerts WHERE run IN ({runs})

-- left_over --
-- Deleted runs of which a small table still has a row, or that were deleted so lately that points may be on their way.
SELECT DISTINCT run FROM (
    {tables}
    UNION ALL SELECT run FROM deletions WHERE at > now64(3) - toIntervalSecond({{fresh_s:UInt32}})
)

-- newest --
SELECT count(), max(at) FROM deletions

-- sizes --
SELECT run, sum(n) AS points FROM tiers FINAL WHERE run IN ({runs}) GROUP BY run
