-- Statements of lineage.py.

-- own --
-- What a run said of data and artifacts, the oldest first.
SELECT toString(kind) AS kind, ts, body FROM run_events FINAL
WHERE run = {run:UInt64} AND kind IN ('dataset', 'use_artifact', 'artifact') ORDER BY ts, writer, seq

-- others --
-- What other runs of the project said of the same, the newest of it.
SELECT r.run_id AS run_id, toString(e.kind) AS kind, e.ts AS ts, e.body AS body
FROM (
    SELECT * FROM run_events FINAL
    WHERE kind IN {kinds:Array(String)}
        AND run IN (SELECT run FROM runs FINAL WHERE project = {project:String} AND run != {run:UInt64})
        AND (JSONExtractString(body, 'name') IN {names:Array(String)}
            OR JSONExtractString(body, 'digest') IN {digests:Array(String)}
            OR JSONExtractString(body, 'ref') IN {digests:Array(String)}
            OR splitByChar(':', JSONExtractString(body, 'ref'))[1] IN {names:Array(String)})
) AS e
INNER JOIN (SELECT run, run_id FROM runs FINAL WHERE project = {project:String}) AS r ON e.run = r.run
ORDER BY e.ts DESC, run_id LIMIT {limit:UInt32}

-- of_project --
-- What all runs of a project said of data and artifacts, the newest of it.
SELECT r.run_id AS run_id, toString(e.kind) AS kind, e.ts AS ts, e.body AS body
FROM (
    SELECT * FROM run_events FINAL
    WHERE kind IN ('dataset', 'use_artifact', 'artifact')
        AND run IN (SELECT run FROM runs FINAL WHERE project = {project:String})
) AS e
INNER JOIN (SELECT run, run_id FROM runs FINAL WHERE project = {project:String}) AS r ON e.run = r.run
ORDER BY e.ts DESC, run_id LIMIT {limit:UInt32}
