-- Statements of retention.py.

-- policies --
SELECT project, days, keep_tags, who, at FROM retention FINAL WHERE active = 1 ORDER BY project

-- due --
SELECT s.key AS key, s.project AS project, s.run_id AS run_id, s.name AS name,
    toUnixTimestamp64Milli(s.started_at) AS started_ms, toUInt16(s.attempt) AS attempts, p.days AS days
FROM run_states AS s
INNER JOIN (SELECT project, days, keep_tags FROM retention FINAL WHERE active = 1) AS p ON s.project = p.project
WHERE ({project:String} = '' OR s.project = {project:String}) AND s.state != 'running' AND NOT hasAny(s.tags, p.keep_tags)
    AND coalesce(s.ended_at, s.seen_at, s.started_at) < now64(3) - toIntervalDay(p.days)
    AND (s.project, s.run_id) NOT IN (
        SELECT project, value FROM baseline_marks FINAL WHERE kind = 'run' AND active = 1
    )
ORDER BY started_ms, run_id
